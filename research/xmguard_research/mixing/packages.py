"""What every command says where a package of the research extra is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xmguard.errors import SetupIncomplete


@contextmanager
def needed() -> Iterator[None]:
    """Around everything that imports such packages.

    Raises:
        SetupIncomplete: one is missing.
    """
    try:
        yield
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[research]"') from error
