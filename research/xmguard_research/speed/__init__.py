"""What steering and measuring cost, next to plain generation by the same model on the same machine.

Everything is a ratio within one run: variants take turns, so that what disturbs one disturbs all. Goes through the
public `Backend` and `Session` protocols only; knows nothing of how the engine reads.
"""
