"""Judges: does a response say that its sources contradict each other? And how good is a judge at telling?

Imports no benchmark. A judge comes through the hook `xmguard_judges`; ours are in `builtin`.
"""
