"""Models that read something else than text and pictures, and models without words to say.

The engine encodes a context as one sequence of tokens, knows from it where each span lies, and reads the next token off
a vocabulary. A picture is a run of tokens in that sequence whose embeddings a vision tower provides. What any other
tower puts in, or keys that live outside that sequence, would belong to no span and be counted as the rest.
"""

from __future__ import annotations

from typing import Any

_TOWERS = ("audio", "image", "video", "speech", "vq")
_PICTURES = "vision"


def reasons(config: Any, model: Any) -> list[str]:
    """Other inputs than token ids, or no output over a vocabulary."""
    found = []
    sections = sorted(model.config.sub_configs)
    towers = [name for name in sections if name.startswith(_TOWERS)]
    pictures = [name for name in sections if name.startswith(_PICTURES)]
    if towers:
        found.append(f"it reads more than text and pictures: also through {', '.join(towers)}")
    elif pictures and not hasattr(model, "get_image_features"):
        found.append("what its vision tower reads does not take the place of tokens (no get_image_features)")
    elif not pictures and model.main_input_name != "input_ids":
        found.append(f"it is no text model: it reads {model.main_input_name}")
    if not model.can_generate():
        found.append(f"{type(model).__name__} generates no text: it has no head over a vocabulary")
    return found
