"""Research on xmguard: yardsticks, and later benchmarks, judges and mixing fine-tuning.

Imports the library and never the server; what passes between the two is a checkpoint folder.
"""
