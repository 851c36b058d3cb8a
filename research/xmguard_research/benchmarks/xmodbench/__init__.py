"""The same multiple-choice question with context and options as text or as pictures: four directions.

Of the design of XModBench, for text and image, not its data; see README.md. Knows no model.
"""
