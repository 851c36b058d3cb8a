"""Attention cut at span borders: per-span outputs and log-sum-exps, and their exact merge under a bias.

Knows nothing of models, requests or tokens' meaning. `reference` is the float64 statement of the mathematics,
`split_merge` the fast path, `head_norms` the norms through W_O, `segments` how keys are cut. `triton_segments` is the
path for GPUs, with its kernels in `triton_kernels`; only those two need triton.
"""
