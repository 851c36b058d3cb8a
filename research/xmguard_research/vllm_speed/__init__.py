"""What xmguard costs inside vLLM, and what it saves next to the ways around it.

Every number is a ratio of variants that take turns in one run, against a baseline that is named. Engines are started by
`xmguard.backends.vllm`; nothing here imports vLLM itself.
"""
