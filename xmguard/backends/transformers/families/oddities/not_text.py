"""Models of pictures or sound, and models without words to say.

The engine encodes a context as one sequence of text tokens, knows from it where each span lies, and reads the next
token off a vocabulary. Tokens that a vision or audio tower puts in, or keys that live outside that sequence, belong to
no span, so their share of the attention would be counted as the rest.
"""

from __future__ import annotations

from typing import Any

_TOWERS = ("vision", "audio", "image", "video", "speech", "vq")


def reasons(config: Any, model: Any) -> list[str]:
    """Other inputs than token ids, or no output over a vocabulary."""
    found = []
    towers = sorted(name for name in model.config.sub_configs if name.startswith(_TOWERS))
    if towers:
        found.append(f"it is not a text model: it also reads through {', '.join(towers)}")
    elif model.main_input_name != "input_ids":
        found.append(f"it is not a text model: it reads {model.main_input_name}")
    if not model.can_generate():
        found.append(f"{type(model).__name__} generates no text: it has no head over a vocabulary")
    return found
