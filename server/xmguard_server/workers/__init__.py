"""Model workers: processes of their own that load a guard and run it, and the front's side of them.

The front never runs a model, so what computes, hangs or dies in a worker leaves health and the other callers alone.
"""
