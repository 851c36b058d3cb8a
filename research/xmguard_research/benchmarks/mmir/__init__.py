"""Generated web pages, slides and posters with two elements that do not fit together, and the same without.

Of the design of MMIR, not its data; see README.md. Knows no model.
"""
