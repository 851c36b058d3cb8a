"""`xmguard mix`: data, training and measurement of fine-tuning that mixes modalities; one YAML recipe says what.

Registers the subcommands, each of which has its own module and imports nothing heavy until it is called.
"""

from __future__ import annotations

import typer

from xmguard_research.mixing.command_build import build
from xmguard_research.mixing.command_evaluate import evaluate
from xmguard_research.mixing.command_experiment import experiment, report
from xmguard_research.mixing.command_export import export
from xmguard_research.mixing.command_train import train

app = typer.Typer(help="Fine-tune models on conversations that mix modalities.", no_args_is_help=True)
app.command("build")(build)
app.command("train")(train)
app.command("export")(export)
app.command("evaluate")(evaluate)
app.command("experiment")(experiment)
app.command("report")(report)


@app.callback()
def _group() -> None:
    """Fine-tune models on conversations that mix modalities."""
