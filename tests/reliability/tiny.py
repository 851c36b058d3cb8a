"""A model of a few thousand random weights: loaded in no time, and everything around it is the real thing."""

from __future__ import annotations

from pathlib import Path

from tests.reliability.stage import Stage


def tiny_model(stage: Stage) -> Path:
    """The folder, made the first time."""
    folder = stage.folder / "tiny"
    if not folder.exists():
        import transformers

        from xmguard.testing import make_model

        transformers.utils.logging.disable_progress_bar()
        make_model(folder)
    return folder
