"""What a folder of logs comes to, for reading: one HTML page, and the same numbers as CSV, JSON, Markdown and pictures.

Computes no rate of its own: rates, their intervals and tests are `benchmarks.summary`'s and `metrics`'.
"""
