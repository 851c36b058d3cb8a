"""Other people's clients that our environment has no place for, where `make test-reliability` installs them."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".venv-clients"

TRITON = FOLDER / "bin/python"
"""A Python with tritonclient, which wants an older protobuf than ours."""


def node_command(name: str) -> str | None:
    """A command of an npm package; None where it is not installed."""
    return shutil.which(name, path=str(FOLDER / "node_modules/.bin")) if shutil.which("node") else None
