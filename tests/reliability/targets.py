"""Every target, in order."""

from __future__ import annotations

from collections.abc import Sequence

from tests.reliability import (
    doors,
    ends,
    folders,
    frames,
    fuzzing,
    injected,
    interfaces,
    leaving,
    metrics_page,
    overload,
    pictures,
    slow,
    starting,
)
from tests.reliability.target import Target

_FAMILIES = (
    *(frames, leaving, overload, ends, injected, fuzzing, pictures),
    *(doors, folders, slow, metrics_page, starting, interfaces),
)

TARGETS: Sequence[Target] = tuple(target for family in _FAMILIES for target in family.TARGETS)
