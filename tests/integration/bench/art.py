"""The emoji of generated pictures, which are fetched and not shipped."""

import pytest

from xmguard.errors import SetupIncomplete
from xmguard_research.scenes import assets


def require_art(style="noto"):
    """Skip where they are not on this machine."""
    try:
        assets.art(style)
    except SetupIncomplete as missing:
        pytest.skip(str(missing))
