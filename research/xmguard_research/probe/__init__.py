"""Trains the pair probe: a low-rank adapter of a question's last rows that says whether two spans agree.

Fitting the verdict's other features is `xmguard_research.verdict`'s business.
"""
