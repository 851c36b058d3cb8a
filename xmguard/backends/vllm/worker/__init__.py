"""What runs inside vLLM's own processes: rows that read their spans with a bias, are measured, and told of.

`plugin` hooks in, `tap` hears which request is which row, `cpu` stands where vLLM's attention does, `overlay` reads the
rows that asked for it again, `telling` sends what was found. Knows nothing of sessions, branches or verdicts.
"""
