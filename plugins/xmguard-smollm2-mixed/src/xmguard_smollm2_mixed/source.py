"""Where `smollm2-mixed` comes from: an adapter that travels in this distribution, on SmolLM2 of the cache.

Knows nothing of how the model is loaded: hashes are compared then, whenever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xmguard.errors import SetupIncomplete
from xmguard.models.cache import silent
from xmguard.models.checkpoint import holds_adapter
from xmguard.models.smollm2 import SmolLM2
from xmguard.parts import TEXT
from xmguard.profile import CARD

WEIGHTS = Path(__file__).parent / "weights"
"""A folder of an adapter, as `xmguard mix train` leaves it."""
LIMIT = 15_000_000
"""Bytes that may travel."""


class SmolLM2Mixed:
    """SmolLM2-135M-Instruct; an adapter of ours reads and writes the joint answer."""

    name = "smollm2-mixed"
    summary = "SmolLM2-135M-Instruct with an adapter that says more often where sources disagree"
    license = "Apache-2.0"
    requires = "xmguard[hf]"
    modalities: tuple[str, ...] = (TEXT,)
    profile: Path | None = None

    def __init__(self, weights: Path = WEIGHTS) -> None:
        """`weights` is the adapter's folder."""
        self._weights = weights

    def path(self) -> Path | None:
        """The adapter's folder, or None while SmolLM2 has not been pulled."""
        return self._weights if travels(self._weights) and SmolLM2().path() else None

    def pull(self, progress: Callable[[str], None] = silent) -> Path:
        """Pull SmolLM2, unless it is there; returns the adapter's folder.

        Raises:
            SetupIncomplete: the distribution holds no weights, or what SmolLM2 raises it for.
            ModelRefused, XmguardError: as SmolLM2.
        """
        if not travels(self._weights):
            raise SetupIncomplete(
                "there are no weights in this distribution of xmguard-smollm2-mixed; in a clone: xmguard mix train, "
                f"then put its folder model in the place of {self._weights}"
            )
        SmolLM2().pull(progress)
        return self._weights


def travels(weights: Path) -> bool:
    """Whether an adapter's folder is there."""
    return holds_adapter(weights) and (weights / CARD).is_file()
