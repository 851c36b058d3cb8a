"""The command: `python -m xmguard_research.benchmarks.clqa`.

    python -m xmguard_research.benchmarks.clqa --out clqa.jsonl
    python -m xmguard_research.benchmarks.clqa --out mini.jsonl --topics 42 --size short --variant en-en --variant en-zh
    python -m xmguard_research.benchmarks.clqa --out clqa.jsonl --baselines

Writes the suite, and says whether it is the published one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import babel
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from xmguard.cli.terminal import stated_errors
from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.clqa.baselines import overlaps, rules
from xmguard_research.benchmarks.clqa.corpus import CLQA
from xmguard_research.benchmarks.clqa.files import write
from xmguard_research.benchmarks.clqa.items import Item, items, parse_variant, variants
from xmguard_research.benchmarks.clqa.paragraphs import SIZES
from xmguard_research.benchmarks.clqa.topics import TOPICS, most
from xmguard_research.benchmarks.rates import shown


def main(
    out: Annotated[Path, typer.Option(help="JSON lines, one item each; a file that is there is replaced.")],
    topics: Annotated[
        int, typer.Option(help=f"Invented events, 1 to {most(CLQA)}; the first ones are the same for any number.")
    ] = TOPICS,
    seed: Annotated[int, typer.Option(help="Places, names, values and the order of sentences depend on it.")] = 0,
    size: Annotated[
        list[str] | None,
        typer.Option(help="short (two sentences) or long (100 to 200 words); both by default."),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Languages of a pair, such as en-zh or zh-zh; repeat it for several. By default "
            f"{', '.join('-'.join(pair) for pair in variants())}. Both orders are always written."
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also say how far rules and shared words find the conflicts.")
    ] = False,
) -> None:
    """Write pairs of paragraphs that contradict each other about an English question, and controls that do not.

    A conflict and its control differ in one paragraph, there in the answer alone. Lines give the characters at which
    each paragraph answers. Four items a topic, variant and size: two orders, each contradicting and not.
    """
    chosen = variants() if variant is None else [parse_variant(text) for text in dict.fromkeys(variant)]
    sizes = SIZES if size is None else tuple(dict.fromkeys(size))
    drawn = list(items(topics, seed=seed, chosen=chosen, sizes=sizes))
    out.parent.mkdir(parents=True, exist_ok=True)
    count, digest = write(drawn, out)
    typer.echo(f"{out}: {count} items, SHA-256 {digest}")
    published = card("xmguard_research.benchmarks.clqa")
    if (topics, seed, chosen, sizes) == (published.drawn, published.seed, variants(), SIZES):
        typer.echo(compared(digest))
    if baselines:
        show(drawn)


def compared(digest: str) -> str:
    """Whether the whole suite is the one of the card."""
    published = card("xmguard_research.benchmarks.clqa")
    if digest == published.sha256:
        return f"the published version {published.version}"
    return (
        f"NOT the published version {published.version}, SHA-256 {published.sha256}: that was made with Babel "
        f"{published.made_with['babel']}, this with {babel.__version__}; if those agree, a text or the code was changed"
    )


def show(drawn: Sequence[Item]) -> None:
    """Print what needs no reading."""
    console = Console()
    table = Table("rule", "variant", "size", "detected", "false alarms", box=box.SIMPLE)
    for row in rules(drawn):
        table.add_row(row.name, row.variant, row.size, shown(row.detected), shown(row.false_alarms))
    console.print(table)
    table = Table("word overlap", "size", "AUROC", "within topics", box=box.SIMPLE)
    for one in overlaps(drawn):
        table.add_row(one.variant, one.size, f"{one.auroc.value:.2f}", f"{one.within_topics.value:.2f}")
    console.print(table)


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
