"""The `xmguard` command: which subcommands there are, and what a failure looks like.

Subcommands of other packages are found in the entry-point group `xmguard.commands`; none is named here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from xmguard import __version__
from xmguard.cli import ask, demo, doctor, explain, models, plugins
from xmguard.cli.terminal import one_line, stated_errors
from xmguard.errors import SetupIncomplete

COMMANDS = "xmguard.commands"
"""Entry-point group: each entry is a function that becomes the subcommand of its name, or a Typer with several."""

EXIT_INTERRUPTED = 130


class _Group(TyperGroup):
    """States the errors of every subcommand, and ends with status 130 where it is interrupted."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with stated_errors():
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from interrupt


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"xmguard {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Ask a model over several sources, rebalance its attention, and learn whether they contradict each other."""


def build_app() -> typer.Typer:
    """The command with every subcommand that is installed."""
    app = typer.Typer(
        name="xmguard", cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    app.callback()(_options)
    app.command("ask")(ask.ask)
    app.command("answer")(ask.answer)
    app.command("check")(ask.check)
    app.command("explain")(explain.explain)
    app.command("demo")(demo.demo)
    app.command("plugins")(plugins.plugins)
    app.command("doctor")(doctor.doctor)
    app.add_typer(models.app, name="models")
    for entry in sorted(entry_points(group=COMMANDS), key=lambda entry: entry.name):
        _add(app, entry)
    return app


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        command = entry.load()
    except Exception as error:  # whatever it raises, it stays its own command's failure and is told when that is used
        app.command(
            entry.name,
            help=f"Not available: {escape(one_line(str(error)))}",
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_failing(entry, error))
    else:
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)


def _failing(entry: EntryPoint, error: Exception) -> Callable[[], None]:
    def fail() -> None:
        owner = f", from {entry.dist.name}" if entry.dist else ""
        raise SetupIncomplete(
            f"command {entry.name!r} ({entry.value}{owner}) does not load: {type(error).__name__}: {error}; "
            "install what is missing, or uninstall what brings the command"
        )

    return fail


def run() -> None:
    """Read `sys.argv`, do what it says, end the process."""
    # This process has its own spinner, and an error is to be the only line on stderr. Read when the engine is imported.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if isinstance(sys.stdout, TextIOWrapper):
        # Answers come in any script: what a terminal's encoding cannot show is escaped, as Python does on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    build_app()()
