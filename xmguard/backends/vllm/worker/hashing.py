"""The prefix cache of an engine told apart by reading: only the blocks that a reading changes get a key of their own.

A context that ends before them is shared by every reading of it. Runs in the scheduler's process.
"""

from __future__ import annotations

import inspect
import sys
from functools import lru_cache, wraps
from typing import Any

from xmguard.backends.vllm.spec import KEY, ReadingSpec

FUNCTION = "generate_block_hash_extra_keys"
PARAMETERS = ("request", "start_token_idx", "end_token_idx", "start_mm_idx")
HOME = "vllm.v1.core.kv_cache_utils"
_MARK = "_xmguard_reading"


def known() -> bool:
    """Whether the function that keys blocks is the one that is known; if not, readings need a salt over all blocks."""
    from vllm.v1.core import kv_cache_utils

    found = getattr(kv_cache_utils, FUNCTION, None)
    return found is not None and tuple(inspect.signature(found).parameters) == PARAMETERS


def install() -> None:
    """Wrap the function wherever it was imported to. Does nothing when it is not known, or wrapped already."""
    if not known():
        return
    from vllm.v1.core import block_pool, kv_cache_utils

    original = getattr(kv_cache_utils, FUNCTION)
    if hasattr(original, _MARK):
        return

    @wraps(original)
    def keyed(
        request: Any, start_token_idx: int, end_token_idx: int, start_mm_idx: int
    ) -> tuple[tuple[Any, ...] | None, int]:
        keys, next_mm_idx = original(request, start_token_idx, end_token_idx, start_mm_idx)
        own = block_key(request.sampling_params, end_token_idx)
        return (keys if own is None else (*(keys or ()), (KEY, own))), next_mm_idx

    setattr(keyed, _MARK, True)
    for module in (kv_cache_utils, block_pool, sys.modules.get("vllm.v1.simple_kv_offload.manager")):
        if getattr(module, FUNCTION, None) is original:
            setattr(module, FUNCTION, keyed)


def block_key(sampling_params: Any, end: int) -> str | None:
    """The key of a block of a request that ends before position `end`; None if any request may share it."""
    extra = getattr(sampling_params, "extra_args", None) or {}
    if KEY not in extra:
        return None
    return next((key for first, key in reversed(_keys(extra[KEY])) if end > first), None)


@lru_cache(maxsize=4096)
def _keys(text: str) -> tuple[tuple[int, str], ...]:
    return ReadingSpec.from_json(text).keys
