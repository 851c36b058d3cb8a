"""The command: `python -m xmguard_research.benchmarks.xquad`.

    python -m xmguard_research.benchmarks.xquad --data FOLDER
    python -m xmguard_research.benchmarks.xquad --data FOLDER --variant en-zh --baselines

Says what the suite makes of the files: how many cases, what is left out and why, and the SHA-256.
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
from xmguard_research.benchmarks.baselines import tables
from xmguard_research.benchmarks.clqa.items import Variant
from xmguard_research.benchmarks.digest import digest
from xmguard_research.benchmarks.xquad.conflicts import cases, chosen, counted
from xmguard_research.benchmarks.xquad.parallel import Parallel, read
from xmguard_research.benchmarks.xquad.replacing import LeftOut


def main(
    data: Annotated[Path, typer.Option(help="Folder of XQuAD's own files, or a file of parallel lines.")],
    seed: Annotated[int, typer.Option(help="Which other answer is taken depends on it.")] = 0,
    variant: Annotated[
        list[str] | None, typer.Option(help="Languages of a pair, such as en-zh or zh-zh; repeat it for several.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also say how far rules and words find the conflicts.")
    ] = False,
) -> None:
    """Count the cases of every variant and the questions that it leaves out."""
    rows = read(data)
    pairs = chosen(rows, variant or [])
    console = Console()
    console.print(counts(rows, pairs, seed))
    made = [case for pair in pairs for case in cases(rows, pair, seed=seed)]
    typer.echo(f"{len(made)} cases of {len(rows)} questions, SHA-256 {digest(made)}")
    if baselines:
        console.print(*tables(made))


def counts(rows: Sequence[Parallel], pairs: Sequence[Variant], seed: int) -> Table:
    """A row for every variant."""
    table = Table("variant", "questions", *(f"left out: {why.value}" for why in LeftOut), box=box.SIMPLE)
    for pair in pairs:
        used, left = counted(rows, pair, seed=seed)
        table.add_row("-".join(pair), str(used), *(str(left[why]) for why in LeftOut))
    return table


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
