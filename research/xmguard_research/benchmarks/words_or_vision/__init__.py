"""Statements and model outputs of "Words or Vision", from the user's own files.

Source: "Words or Vision: Do Vision-Language Models Have Blind Faith in Text?" (Deng et al. 2025). Knows no model.
"""
