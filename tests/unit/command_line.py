"""The command line, run in the process of a test."""

from __future__ import annotations

from typer.testing import CliRunner

from xmguard.cli import app as cli_app


def xmguard(*arguments: str, stdin: str | None = None):
    """Run the command in this process, 80 columns wide and without colour."""
    environment = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(cli_app.build_app(), list(arguments), input=stdin, env=environment)


def one_error_line(result) -> str:
    """The error of a refused command, having checked that it is a single line and the status is 2."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]
