"""The commands: what the suite makes of the statements, and whose answer published models give.

python -m xmguard_research.benchmarks.words_or_vision cases --data FOLDER --baselines
python -m xmguard_research.benchmarks.words_or_vision tpr --outputs FOLDER
python -m xmguard_research.benchmarks.words_or_vision tpr --joint A.jsonl --image-only B.jsonl --text-only C.jsonl
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from xmguard.cli.terminal import stated_errors
from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.baselines import tables
from xmguard_research.benchmarks.digest import digest
from xmguard_research.benchmarks.words_or_vision.outputs import Condition, Preference, conditions, preference
from xmguard_research.benchmarks.words_or_vision.statements import read
from xmguard_research.benchmarks.words_or_vision.suites import of_items

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def cases(
    data: Annotated[Path, typer.Option(help="Published folder of statements, or a file of lines.")],
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also say how far rules and words find the conflicts.")
    ] = False,
) -> None:
    """Count the cases and what is left out."""
    items = read(data)
    made = list(of_items(items))
    differ = sum(not item.is_four_way for item in items)
    typer.echo(f"{len(made)} cases of {len(items) - differ} questions, SHA-256 {digest(made)}")
    typer.echo(f"{differ} questions left out: their two contradicting statements answer differently")
    if baselines:
        Console().print(*tables(made))


@app.command()
def tpr(
    outputs: Annotated[Path | None, typer.Option(help="Folder of the authors' outputs; every condition in it.")] = None,
    joint: Annotated[Path | None, typer.Option(help="Answers to picture and text.")] = None,
    image_only: Annotated[Path | None, typer.Option(help="Answers to the picture.")] = None,
    text_only: Annotated[Path | None, typer.Option(help="Answers to the text.")] = None,
) -> None:
    """Whose answer models give where picture and text are there together: the text preference ratio."""
    if outputs is not None and (joint, image_only, text_only) == (None, None, None):
        asked: Sequence[Condition] = list(conditions(outputs))
    elif outputs is None and joint is not None and image_only is not None and text_only is not None:
        asked = [Condition(joint.parent.name, joint.stem, joint, image_only, text_only)]
    else:
        raise InvalidRequest.field("outputs", "give a folder, or all of --joint, --image-only and --text-only")
    table = Table("model", "text", "questions", "left out", *_COUNTS, "TPR", "95% from", "to", box=box.SIMPLE)
    for one in asked:
        table.add_row(one.model, one.text, *_cells(preference(one.joint, one.image_only, one.text_only)))
    Console(width=200).print(table)


_COUNTS = ("follows text", "image", "both", "neither")


def _cells(found: Preference) -> list[str]:
    counts = found.counts
    numbers = (found.questions, found.left_out, counts.text, counts.img, counts.both, counts.neither)
    shares = (counts.ratio, found.interval.low, found.interval.high)
    return [*map(str, numbers), *("-" if value is None else f"{value:.4f}" for value in shares)]


if __name__ == "__main__":
    with stated_errors():
        app()
