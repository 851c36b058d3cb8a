"""A model folder's tokenizer, and how transformers may read such a folder. Runs none of the folder's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from xmguard.errors import ModelRefused

OPTIONS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""Of every `from_pretrained`."""


def read_tokenizer(path: Path) -> Any:
    """The fast tokenizer of a model folder.

    Raises:
        ModelRefused: it cannot be read.
    """
    try:
        return AutoTokenizer.from_pretrained(path, use_fast=True, **OPTIONS)
    except Exception as error:  # whatever its files hold; the tokenizers library raises Exception itself
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ModelRefused(str(path), [f"its tokenizer cannot be read: {said}"]) from error
