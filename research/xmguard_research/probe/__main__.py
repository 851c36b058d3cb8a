"""Trains the pair probe: once on everything, and once without each fold.

python -m xmguard_research.probe statements.jsonl --out probe/
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from transformers import AutoTokenizer

from xmguard import Span
from xmguard.backends.prompting import PromptEncoder
from xmguard.cli.terminal import stated_errors
from xmguard.context import Context, ContextSpan
from xmguard.models.resolve import resolve
from xmguard.plugins import load_plugins
from xmguard.request import Prompt
from xmguard_research.probe.examples import Example, statement_examples
from xmguard_research.probe.training import Recipe, Row, TailClassifier, save, train
from xmguard_research.results import lines
from xmguard_research.verdict.splits import fold


def encode(examples: list[Example], encoder: PromptEncoder) -> list[Row]:
    """The examples as a served prompt has them, by an encoder that knows the probe's task."""
    rows = []
    for example in examples:
        spans = tuple(
            ContextSpan(Span(f"s{n}", text, language="en"), "text", "en") for n, text in enumerate(example.texts, 1)
        )
        prompt = encoder.encode(Context(spans, example.question), Prompt.STANDARD)
        rows.append(Row(list(prompt.context_ids), list(prompt.probe_tail), example.label))
    return rows


def main(
    statements: Annotated[Path, typer.Argument(help="JSONL of items with support, contradict and changed_answer.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapters: final, and fold-0 to fold-4.")] = Path("probe"),
    model: Annotated[str, typer.Option(help="Model name or folder.")] = "smollm2",
    parts: Annotated[
        str, typer.Option(help="What to train: final, and folds to hold out; what is there already is left alone.")
    ] = "final,0,1,2,3,4",
) -> None:
    """Train the probe on everything, and without each fold: every item can be judged by one that has not seen it."""
    recipe = Recipe()
    registry = load_plugins()
    folder = resolve(model, registry).whole
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(folder), registry, model, probe_task=recipe.task)
    examples = statement_examples(list(lines(statements)))
    wanted = [part for part in parts.split(",") if not (place(out, part) / "probe.json").exists()]
    if not wanted:
        return
    rows = encode(examples, encoder)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("reading contexts", total=len(rows))
        TailClassifier(folder, recipe).read_contexts(rows, 32, lambda count: progress.advance(bar, count))
    for part in wanted:
        used = [row for row, one in zip(rows, examples, strict=True) if str(fold(one.item)) != part]
        classifier = TailClassifier(folder, recipe)
        train(classifier, used, recipe, place(out, part))
        save(classifier, recipe, place(out, part))


def place(out: Path, part: str) -> Path:
    """Folder of one part: `final` or the number of a fold."""
    return out / (part if part == "final" else f"fold-{part}")


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
