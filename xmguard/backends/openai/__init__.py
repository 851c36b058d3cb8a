"""Models behind an API of chat completions: asked in words, heard in words.

What such an engine lacks it states (`backend.LACKS`). A span is removed by not sending it, so every reading is a call
of its own, and whatever cache there is, is the other side's.
"""
