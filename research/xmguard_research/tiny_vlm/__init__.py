"""The recipe of `smolvlm-tiny`: trains the projector and an adapter of SmolLM2 on generated scenes, and measures them.

Needs the plugin that holds the model's classes: pip install -e plugins/xmguard-smolvlm-tiny

    python -m xmguard_research.tiny_vlm train --out build/tiny_vlm --minutes 90
    python -m xmguard_research.tiny_vlm export build/tiny_vlm
    xmguard models pull smolvlm-tiny
    python -m xmguard_research.tiny_vlm evaluate --out research/results/tiny_vlm.json
"""
