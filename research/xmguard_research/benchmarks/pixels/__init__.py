"""CLQA's paragraphs lettered in pictures: what changes if the same words are pixels. Knows no model and no prompt."""
