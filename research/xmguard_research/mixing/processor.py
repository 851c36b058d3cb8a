"""Whether this machine's processor multiplies bfloat16 itself, or emulates it many times slower.

By a product of each kind and not by the processor's flags: whether a library has use for an instruction differs from
release to release. Knows no model.
"""

from __future__ import annotations

from time import perf_counter

import torch

EMULATED = 4.0
"""Times as long as float32; where bfloat16 is multiplied it takes no longer, and where it is emulated tens of times."""
_SIDE, _TRIES = 256, 5


def emulation(option: str) -> str | None:
    """What to say of bfloat16 on this processor, and which `option` helps; None where there is nothing to say."""
    times = _seconds(torch.bfloat16) / _seconds(torch.float32)
    if times < EMULATED:
        return None
    return (
        f"this processor emulates bfloat16, and a product takes {times:.0f} times as long as in float32; "
        f"{option} is faster"
    )


def _seconds(dtype: torch.dtype) -> float:
    """Of a product of two matrices that fit the cache: the shortest of some, since others may use the processor."""
    square = torch.ones(_SIDE, _SIDE, dtype=dtype)
    took = []
    for _ in range(1 + _TRIES):
        before = perf_counter()
        square @ square
        took.append(perf_counter() - before)
    return min(took[1:])  # the first one prepares the kernel
