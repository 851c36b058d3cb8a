"""vLLM as the engine: many requests at once, each steered and measured exactly.

The front (`loader`, `backend`, `session`, `engine`) runs in xmguard's process; `worker` runs inside vLLM's. What one
asks of the other is a `spec.ReadingSpec` for each request.
"""
