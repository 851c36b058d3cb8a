"""The commands: `python -m xmguard_research.benchmarks.generated`.

    python -m xmguard_research.benchmarks.generated clqa --out clqa.jsonl --model gpt-4o --language zh --estimate
    python -m xmguard_research.benchmarks.generated clqa --out clqa.jsonl --model NAME --base-url http://localhost:8000/v1
    python -m xmguard_research.benchmarks.generated cmqa --help

The key is read from OPENAI_API_KEY. What was answered is kept beside the output: the same command goes on there.
"""

from __future__ import annotations

import typer

from xmguard.errors import XmguardError
from xmguard_research.benchmarks.generated.command_clqa import clqa
from xmguard_research.benchmarks.generated.command_cmqa import cmqa

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.command()(clqa)
app.command()(cmqa)


def run() -> None:
    """Run the command; an error that xmguard raises on purpose is one line."""
    try:
        app()
    except XmguardError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    run()
