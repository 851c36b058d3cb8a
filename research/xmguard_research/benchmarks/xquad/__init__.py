"""Conflicts in XQuAD's paragraphs: the answer replaced in one language, beside the same paragraph as it was.

Knows no model, no prompt and no judge.
"""
