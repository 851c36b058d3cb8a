"""What `--help` shows is what was written: in typer's help, brackets that are not escaped are markup, and vanish."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from xmguard.cli import app as command
from xmguard.cli.app import build_app

WIDE = {"COLUMNS": "4000", "TERM": "dumb", "NO_COLOR": "1"}
"""So wide that nothing is broken into lines."""


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group, with what is typed to reach it."""
    yield path, group
    for name, inner in getattr(group, "commands", {}).items():
        yield from commands(inner, *path, name)


def words(text: str) -> str:
    """A text as it is to be read: escaped brackets are brackets, and it does not matter how it is spaced."""
    return " ".join(text.replace("\\[", "[").split())


def shown(*path: str) -> str:
    done = CliRunner().invoke(build_app(), [*path, "--help"], env=WIDE)
    assert done.exit_code == 0
    return words(done.output)


def test_every_help_text_is_shown_as_it_is_written() -> None:
    found = list(commands(typer.main.get_command(build_app())))
    assert len(found) > 20
    extras = set()
    for path, one in found:
        seen = shown(*path)
        texts = [words(text) for text in (one.help, *(getattr(option, "help", "") for option in one.params)) if text]
        assert [text for text in texts if text not in seen] == []
        extras |= {text for text in texts if "xmguard[" in text}
    assert extras


def test_what_is_wrong_with_a_command_is_shown_as_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        name, value, dist = "broken", "broken:command", None

        def load(self) -> None:
            raise ImportError('run: pip install "broken[extra]"')

    monkeypatch.setattr(command, "entry_points", lambda group: [Broken()])
    assert 'Not available: run: pip install "broken[extra]"' in shown("broken")
    assert 'Not available: run: pip install "broken[extra]"' in shown()
