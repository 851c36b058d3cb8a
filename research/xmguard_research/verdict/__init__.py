"""How good is the verdict? Labelled pairs of texts, and what simple scores make of them.

Only `verdict.__main__` knows a guard; nothing here knows how a verdict comes about.
"""
