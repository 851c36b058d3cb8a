"""What has to be shown on a GPU before the vLLM engine is served on one: exactness, and what it costs.

Compares the vLLM engine on CUDA with the transformers engine in float32 on the CPU, which is proven against eager
attention, through the public `Backend` and `Session` protocols. Run by a person who has the GPU.
"""
