"""Analyses: why a model reports or misses contradictions, as numbers with intervals, a table and figures.

Each one takes cases and a guard, asks what has not been asked, and makes an `Outcome` of the rows. What is measured is
in a module's `measure...`, what is concluded in its `outcome`; neither needs a command line.
"""
