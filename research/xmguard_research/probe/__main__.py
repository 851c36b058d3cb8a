"""Trains the pair probe and writes its adapter, with logits for every example that a fold did not train on.

python -m xmguard_research.probe statements.jsonl --out probe/
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from xmguard import Span
from xmguard.backends.transformers.prompting import PromptEncoder
from xmguard.context import Context, ContextSpan
from xmguard.models.resolve import resolve
from xmguard.plugins import load_plugins
from xmguard.request import Prompt
from xmguard_research.probe.examples import LABELS, Example, statement_examples
from xmguard_research.probe.training import Recipe, Row, TailClassifier, predict, train
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
    out: Annotated[Path, typer.Option(help="Folder for the adapter and the logits.")] = Path("probe"),
    model: Annotated[str, typer.Option(help="Model name or folder.")] = "smollm2",
    folds: Annotated[
        str, typer.Option(help="Folds to hold out, for example 0,1; empty for the final fit only.")
    ] = "0,1,2,3,4",
    final: Annotated[bool, typer.Option(help="Also train on everything and save the adapter.")] = True,
    layers: int = Recipe.layers,
    epochs: int = Recipe.epochs,
    rank: int = Recipe.rank,
    rate: float = Recipe.learning_rate,
    task: str = Recipe.task,
) -> None:
    """Cross-validate the probe by item, then train it on everything."""
    from transformers import AutoTokenizer

    recipe = Recipe(layers=layers, epochs=epochs, rank=rank, learning_rate=rate, task=task.replace("\\n", "\n"))
    out.mkdir(parents=True, exist_ok=True)
    registry = load_plugins()
    folder = resolve(model, registry).path
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(folder), registry, model, probe_task=recipe.task)
    items = [json.loads(line) for line in statements.read_text(encoding="utf-8").splitlines() if line.strip()]
    examples = statement_examples(items)
    rows = encode(examples, encoder)
    with Progress(console=Console(stderr=True)) as progress:
        task_id = progress.add_task("reading contexts", total=len(rows))
        TailClassifier(folder, recipe).read_contexts(rows, 32, lambda n: progress.advance(task_id, n))
    if final:
        classifier = TailClassifier(folder, recipe)
        train(classifier, rows, recipe, out)
        classifier.peft.save_pretrained(str(out / "adapter"))
        (out / "probe.json").write_text(json.dumps(asdict(recipe) | {"labels": LABELS}, indent=2) + "\n")
    for held_out in [int(f) for f in folds.split(",") if f]:
        path = out / f"logits-{held_out}.jsonl"
        if path.exists():
            continue
        classifier = TailClassifier(folder, recipe)
        train(classifier, [row for row, e in zip(rows, examples, strict=True) if fold(e.item) != held_out], recipe, out)
        held = [(row, e) for row, e in zip(rows, examples, strict=True) if fold(e.item) == held_out]
        logits = predict(classifier, [row for row, _ in held], recipe, out)
        lines = [
            json.dumps(asdict(e) | {"key": e.key, "logits": values}, ensure_ascii=False)
            for (_, e), values in zip(held, logits.tolist(), strict=True)
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
