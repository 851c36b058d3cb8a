"""A picture and a text that give a shape two colours; how hard each is to read is set apart from the other.

Of the design of "When Modalities Conflict", not its data; see README.md. Knows no model.
"""
