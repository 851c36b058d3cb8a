"""Research on xmguard: benchmarks, judges, analyses, mixing fine-tuning, and how good the verdict is.

Imports the library and never the server; what passes between the two is a checkpoint folder.
"""
