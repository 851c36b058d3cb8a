"""The transformers engine: models read through its attention and mask interfaces, never patched.

Together with its siblings under `xmguard.backends` this is the only place that imports an engine.
"""
