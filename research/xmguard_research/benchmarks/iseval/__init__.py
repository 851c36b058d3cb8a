"""Flawed premises in seven categories: small sums about a picture or a text, each also in a sound form.

Of the design of ISEval, not its data; see README.md. Knows no model.
"""
