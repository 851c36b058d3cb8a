"""The command: `python -m xmguard_research.verdict`.

    python -m xmguard_research.verdict --statements statements.jsonl --items 40 --model smollm2 --out verdict
    python -m xmguard_research.verdict --pictures 60 --style fluent --model smolvlm-tiny --out verdict-fluent

Scores pairs without a model always, by a guard's verdict, its single features and the explicit prompt with `--model`,
texts by a model of natural language inference with `--nli`. What a model said is written down pair by pair, and not
asked again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markdown import Markdown

from xmguard import Guard, load_guard
from xmguard.cli.terminal import stated_errors
from xmguard.errors import SetupIncomplete
from xmguard.parts import IMAGE
from xmguard.plugins import Registry
from xmguard_research.benchmarks.xquad.parallel import read_parallel
from xmguard_research.calibration.gathering import TOO_LONG, Gathered, gather
from xmguard_research.calibration.modelling import CHEAP, neutral_values, single_features
from xmguard_research.results import append, known, producer
from xmguard_research.scenes import STYLES
from xmguard_research.scenes.assets import art
from xmguard_research.verdict import baselines, crosslingual, explicit, nli, picture_pairs
from xmguard_research.verdict.explicit import ExplicitPrompt
from xmguard_research.verdict.figures import calibration, roc
from xmguard_research.verdict.irrelevant import with_conflicts
from xmguard_research.verdict.nli import Nli
from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.report import Row, by_part, by_yardstick, markdown
from xmguard_research.verdict.requests import PNG
from xmguard_research.verdict.statements import four_way_pairs, read_items
from xmguard_research.verdict.templates import YARDSTICK as TEMPLATES
from xmguard_research.verdict.templates import template_items

NEUTRAL = {**baselines.NEUTRAL, explicit.NAME: explicit.NEUTRAL, nli.NAME: nli.NEUTRAL}
NO_OVERLAP = "Pairs with a picture have no word overlap: a picture has no words before it is read."


@dataclass(frozen=True)
class Scored:
    """What a model said of a pair that it was asked about directly."""

    key: str
    """The pair's content."""
    score: float | None
    produced_by: str


@dataclass(frozen=True)
class Said:
    """What was said of pairs, by their content; nothing of a pair that was not asked about."""

    gathered: Mapping[str, Gathered]
    explicit: Mapping[str, Scored]
    inferred: Mapping[str, Scored]
    registry: Registry | None
    """Of the guard that was asked, if one was."""


def main(
    statements: Annotated[
        Path | None, typer.Option(help="JSONL of items with question, support, contradict and changed_answer.")
    ] = None,
    parallel: Annotated[
        Path | None, typer.Option(help="JSONL of paragraphs in several languages with question and answer.")
    ] = None,
    templates: Annotated[int, typer.Option(min=0, help="How many invented items.")] = 0,
    pictures: Annotated[int, typer.Option(min=0, help="How many items of a drawn scene and sentences.")] = 0,
    style: Annotated[str, typer.Option(help=f"Art of the scenes: {' or '.join(STYLES)}.")] = "noto",
    items: Annotated[int | None, typer.Option(min=1, help="How many items to draw of each yardstick; all.")] = None,
    seed: Annotated[int, typer.Option(help="Which are drawn, and what is put in where something is changed.")] = 0,
    model: Annotated[str | None, typer.Option(help="Model name or folder whose verdict is to be scored.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    nli_folder: Annotated[
        Path | None, typer.Option("--nli", help="Folder of a sequence-classification model, as a baseline.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report, its pictures, and all scores.")] = Path("verdict"),
) -> None:
    """Score verdicts and baselines on labelled pairs."""
    if style not in STYLES:
        raise typer.BadParameter(f"--style: {style!r} is not one of {', '.join(STYLES)}")
    yardsticks = (*_yardsticks(statements, parallel, templates, seed), *_of_pictures(pictures, style, seed))
    pairs = [pair for drawn in yardsticks for pair in _draw(drawn, items, seed)]
    if not pairs:
        wanted = "--statements FILE, --parallel FILE, --templates NUMBER or --pictures NUMBER"
        raise typer.BadParameter(f"no yardstick; give {wanted}")
    distinct = list({pair.content: pair for pair in pairs}.values())
    said = Said({}, {}, {}, None)
    if model is not None:
        if pictures:
            art(style)
        guard = load_guard(model, dtype=dtype)
        if pictures:
            _refuse_blind(guard)
        gathered = gather(guard, distinct, CHEAP, out / "gathered.jsonl")
        fitting = [pair for pair in distinct if gathered[pair.content].decision != TOO_LONG]
        asked = _scored(fitting, ExplicitPrompt(guard).score, out / "explicit.jsonl", producer(guard), "asking")
        said = replace(said, gathered=gathered, explicit=asked, registry=guard.registry)
    if nli_folder is not None:
        made_by = str(nli_folder.resolve())
        texts = [pair for pair in distinct if not pair.has_picture]
        inferred = _scored(texts, Nli(nli_folder).score, out / "nli.jsonl", made_by, "inferring")
        said = replace(said, inferred=inferred)
    rows = _rows(pairs, said)
    notes = []
    if parallel is not None:
        read = read_parallel(parallel)
        notes = [crosslingual.kinds(read, other, seed=seed) for other in crosslingual.OTHERS]
    neutral = {**NEUTRAL, **neutral_values(rows)}
    if pictures:
        four_way = by_yardstick(rows)[f"{picture_pairs.YARDSTICK}-{style}"]
        notes += [NO_OVERLAP, picture_pairs.lent(picture_pairs.picture_items(pictures, seed=seed), seed=seed)]
        if model is not None:
            notes += [by_part(four_way, neutral, part) for part in (picture_pairs.order_of, picture_pairs.skill_of)]
    out.mkdir(parents=True, exist_ok=True)
    _write(rows, out / "scores.jsonl")
    text = markdown(rows, neutral, notes)
    (out / "report.md").write_text(text, encoding="utf-8")
    roc(rows, neutral, out / "roc.png")
    calibration(rows, out / "reliability.png")
    Console().print(Markdown(text))


def _yardsticks(statements: Path | None, parallel: Path | None, templates: int, seed: int) -> Iterator[Sequence[Pair]]:
    if statements is not None:
        items = read_items(statements)
        yield list(four_way_pairs(items))
        yield list(with_conflicts(items, seed=seed))
    if templates:
        invented = template_items(templates, seed=seed)
        yield list(four_way_pairs(invented, TEMPLATES))
        yield list(with_conflicts(invented, seed=seed, yardstick=f"{TEMPLATES}-irrelevant"))
    if parallel is not None:
        rows = read_parallel(parallel)
        for other in crosslingual.OTHERS:
            yield list(crosslingual.twins(rows, other, seed=seed))
            yield list(crosslingual.four_way(rows, other, seed=seed))


def _of_pictures(count: int, style: str, seed: int) -> Iterator[Sequence[Pair]]:
    if count:
        items = picture_pairs.picture_items(count, seed=seed)
        yield list(picture_pairs.four_way_pairs(items, style))
        yield list(picture_pairs.with_conflicts(items, style, seed=seed))
        yield list(picture_pairs.shuffled_pairs(items, style))


def _refuse_blind(guard: Guard) -> None:
    """Say at once, and not at the first pair, what is missing for pictures.

    Raises:
        SetupIncomplete: no plugin takes them.
        typer.BadParameter: the model does not read them.
    """
    if not any(PNG in modality.media_types for modality in guard.registry.modalities):
        raise SetupIncomplete(f"--pictures: no installed plugin takes {PNG}: pip install ./plugins/xmguard-image")
    if IMAGE not in guard.backend.modalities:
        raise typer.BadParameter(
            f"{guard.model} reads no pictures; a model that does is smolvlm-tiny: "
            "pip install ./plugins/xmguard-smolvlm-tiny, then xmguard models pull smolvlm-tiny"
        )


def _scored(
    pairs: Sequence[Pair], score: Callable[[Pair], float | None], path: Path, made_by: str, doing: str
) -> dict[str, Scored]:
    """The score of every pair by its content; what the file has already is not asked again."""
    done = known(path, Scored, made_by)
    missing = [pair for pair in pairs if pair.content not in done]
    rows = append(path, missing, lambda pair: [Scored(pair.content, score(pair), made_by)], doing)
    return done | {row.key: row for row in rows}


def _draw(pairs: Sequence[Pair], items: int | None, seed: int) -> list[Pair]:
    """The pairs of as many items, in the order in which they were drawn."""
    by_item: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_item.setdefault(pair.item, []).append(pair)
    order = np.random.default_rng(seed).permutation(sorted(by_item))[:items]
    return [pair for item in order for pair in by_item[str(item)]]


def _rows(pairs: Sequence[Pair], said: Said) -> list[Row]:
    rows = []
    for own in by_yardstick([Row(pair, {}) for pair in pairs]).values():
        of_one = [row.pair for row in own]
        found = dict(baselines.without_model(of_one))
        if said.registry is not None:
            found |= single_features([said.gathered[pair.content].values for pair in of_one], said.registry)
        for name, scored in ((explicit.NAME, said.explicit), (nli.NAME, said.inferred)):
            if scored:
                found[name] = [scored[pair.content].score if pair.content in scored else None for pair in of_one]
        for place, pair in enumerate(of_one):
            scores = {name: values[place] for name, values in found.items()}
            judged = said.gathered.get(pair.content)
            rows.append(Row(pair, scores, judged.decision if judged else "", judged.probability if judged else None))
    return rows


def _write(rows: Sequence[Row], path: Path) -> None:
    """Every score, without the texts: their licences are their owners' business."""
    lines = (
        {
            "key": row.pair.key,
            "item": row.pair.item,
            "yardstick": row.pair.yardstick,
            "label": row.pair.label.value,
            "decision": row.decision,
            "probability": row.probability,
            "scores": row.scores,
        }
        for row in rows
    )
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
