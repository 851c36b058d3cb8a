"""CLQA and CMQA by the paper's protocol: a model behind an OpenAI-compatible endpoint writes what is asked over.

Source: "Why Foundation Models Struggle with Cross-Modal Context" (Wu, Kale and Raghunathan), section C. What was
answered is kept and never asked again.
"""
