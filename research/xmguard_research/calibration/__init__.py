"""Fits a model's verdict to labelled pairs: what evidence is gathered, how it is weighed, and the profile it becomes.

Knows no data set; `xmguard_research.verdict` has the yardsticks.
"""
