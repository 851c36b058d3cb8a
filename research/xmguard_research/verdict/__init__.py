"""How good is the verdict? Labelled pairs of texts, what simple scores make of them, and the statistics of both.

Only `verdict.__main__` knows a guard; nothing here knows how a verdict comes about.
"""
