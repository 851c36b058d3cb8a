"""What the readings of a context have cost, in tokens. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SessionUsage:
    """Tokens a session has run so far."""

    context_tokens: int
    branch_tokens: int
    """Tail, generated and scored tokens over all branches, each as often as it was run."""
    cached_tokens: int
    """Context tokens that branches after the first read from the shared cache."""
    branches: Mapping[str, tuple[int, int]] | None = None
    """Tokens read and generated of every decoded branch, as who runs it counts them; None where a token id is one."""
