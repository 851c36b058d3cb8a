"""Gathers the evidence of the yardsticks, fits the shipped profile to it, and reports it next to the baselines.

    python -m xmguard_research.calibration gather --statements F --parallel F --probe probe --work work
    python -m xmguard_research.calibration fit --statements F --parallel F --probe probe --work work --out profile

Items that the probe was trained on are read with the probe of their fold, which has not seen them. Everything is
resumable; several `gather` may run at once for different yardsticks.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from xmguard import Guard, load_guard
from xmguard.calibration import (
    CROSS_LANGUAGE,
    SAME_LANGUAGE,
    FeatureWeight,
    Fit,
    FittedFor,
    VerdictProfile,
)
from xmguard.cli.terminal import stated_errors
from xmguard.evidence import Bounds
from xmguard.profile import CARD, Profile
from xmguard_research.benchmarks.xquad.parallel import read_parallel
from xmguard_research.calibration.card import model_card, replaced, summary
from xmguard_research.calibration.gathering import Gathered, gather
from xmguard_research.calibration.modelling import (
    CHEAP,
    COSTLY,
    Sample,
    ablations,
    assemble,
    fit_profile,
    neutral_values,
    scored,
)
from xmguard_research.calibration.profiles import to_json
from xmguard_research.probe.__main__ import place
from xmguard_research.probe.training import load_source
from xmguard_research.results import lines
from xmguard_research.verdict import crosslingual
from xmguard_research.verdict.figures import calibration, roc
from xmguard_research.verdict.irrelevant import irrelevant_pairs
from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.report import markdown
from xmguard_research.verdict.splits import fold
from xmguard_research.verdict.statements import four_way_pairs, read_items
from xmguard_research.verdict.template_pairs import IRRELEVANT, template_pairs
from xmguard_research.verdict.templates import YARDSTICK as TEMPLATES

COSTLY_SAMPLE = "statements, features that cost more"
UNLEARNED = (TEMPLATES, IRRELEVANT, COSTLY_SAMPLE)
"""Yardsticks that no fit sees: invented ones, to be disjoint from it, and a sample of pairs that are in another."""

app = typer.Typer(no_args_is_help=True)

Statements = Annotated[Path, typer.Option(help="JSONL of items with support, contradict and changed_answer.")]
Parallel = Annotated[Path, typer.Option(help="JSONL of paragraphs in several languages with question and answer.")]
ProbeFolder = Annotated[Path, typer.Option(help="Folder that `python -m xmguard_research.probe` wrote.")]
Work = Annotated[Path, typer.Option(help="Folder for the evidence, one file a yardstick and probe.")]
Folds = Annotated[str, typer.Option(help="Folds of the statements to use, of those a probe was held out for.")]
Questions = Annotated[int, typer.Option(help="Questions of the parallel paragraphs per language.")]
Templates = Annotated[int, typer.Option(help="Invented items.")]
Model = Annotated[str, typer.Option(help="Model name or folder.")]


@app.command("gather")
def gather_command(
    statements: Statements,
    parallel: Parallel,
    probe: ProbeFolder = Path("probe"),
    work: Work = Path("work"),
    model: Model = "smollm2",
    folds: Folds = "0,1,2,3,4",
    questions: Questions = 30,
    templates: Templates = 40,
    only: Annotated[str, typer.Option(help="Yardsticks, comma-separated: statements, templates, zh, tr, es, de.")] = "",
    costly: Annotated[int, typer.Option(help="Statement items for the features that run many more rows.")] = 0,
) -> None:
    """Run the model over the yardsticks."""
    wanted = only.split(",") if only else ["statements", "templates", *crosslingual.OTHERS]
    for name in wanted:
        for part, pairs in _pairs(name, statements, parallel, folds, questions, templates).items():
            guard = probe_guard(model, probe, "final" if part == "foreign" else part)
            gather(
                guard,
                pairs,
                CHEAP,
                work / f"{name}-{part}.jsonl",
                suffix=_hash(probe, "final" if part == "foreign" else part),
            )
    if costly:
        part = folds.split(",")[0]
        pairs = _pairs("statements", statements, parallel, part, questions, templates)[part]
        items = sorted({pair.item for pair in pairs if pair.yardstick == "statements"})[:costly]
        chosen = [pair for pair in pairs if pair.item in items and pair.yardstick == "statements"]
        guard = probe_guard(model, probe, part)
        gather(guard, chosen, COSTLY, work / "costly.jsonl", suffix=_hash(probe, part))


@app.command()
def fit(
    statements: Statements,
    parallel: Parallel,
    probe: ProbeFolder = Path("probe"),
    work: Work = Path("work"),
    out: Annotated[Path, typer.Option(help="Folder for the profile and its card.")] = Path("profile"),
    pictures: Annotated[Path, typer.Option(help="Folder for the ROC curves and the reliability plot.")] = Path(
        "profile"
    ),
    readme: Annotated[Path | None, typer.Option(help="Document whose table of the verdict is written anew.")] = None,
    model: Model = "smollm2",
    folds: Folds = "0,1,2,3,4",
    questions: Questions = 30,
    templates: Templates = 40,
    only: Annotated[str, typer.Option(help="Yardsticks, as for `gather`.")] = "",
    costly: Annotated[int, typer.Option(help="As for `gather`.")] = 0,
    name: Annotated[str, typer.Option(help="What the profile is called.")] = "smollm2-1",
) -> None:
    """Fit the weights, cross-validate them by item, and write the profile with its report."""
    wanted = only.split(",") if only else ["statements", "templates", *crosslingual.OTHERS]
    samples: list[Sample] = []
    for yardstick in wanted:
        for part, pairs in _pairs(yardstick, statements, parallel, folds, questions, templates).items():
            found = _read(work / f"{yardstick}-{part}.jsonl")
            samples += assemble(pairs, found)
    if costly:
        part = folds.split(",")[0]
        pairs = _pairs("statements", statements, parallel, part, questions, templates)[part]
        samples += assemble(pairs, _read(work / "costly.jsonl"), yardstick=COSTLY_SAMPLE)
    guard = probe_guard(model, probe, "final")
    verdict, probabilities = fit_profile(samples, guard.registry, _fitted_for(guard), UNLEARNED)
    rows = scored(samples, probabilities, guard.registry)
    out.mkdir(parents=True, exist_ok=True)
    adapter = out / "adapter"
    if adapter.exists():
        shutil.rmtree(adapter)
    source = load_source(place(probe, "final"))
    shutil.copytree(source.folder, adapter)
    fitted = replace(
        verdict,
        fitted_on=f"{verdict.fitted_on}, {date.today().isoformat()}",
        probe=replace(source, folder=adapter),
    )
    card = to_json(Profile(name, "none", verdict=fitted))
    (out / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    neutral = neutral_values(rows)
    tables = summary(rows, neutral)
    recipe = json.loads((place(probe, "final") / "probe.json").read_text(encoding="utf-8"))
    without = ablations(samples, guard.registry, UNLEARNED)
    text = model_card(name, fitted, recipe, tables, without, markdown(rows, neutral))
    (out / "README.md").write_text(text, encoding="utf-8")
    if readme is not None:
        readme.write_text(replaced(readme.read_text(encoding="utf-8"), tables), encoding="utf-8")
    pictures.mkdir(parents=True, exist_ok=True)
    roc(rows, neutral, pictures / "verdict-roc.png")
    calibration(rows, pictures / "verdict-reliability.png")
    Console().print(Markdown(tables))
    Console().print(f"profile and card are in {out}, pictures in {pictures}")


def probe_guard(model: str, probe: Path, part: str) -> Guard:
    """The model with one part's probe, and no weights worth the name."""
    source = load_source(place(probe, part))
    folder = source.folder.parent
    weigh = Fit(0.0, (FeatureWeight("probe_conflict", 1.0, 0.0, 1.0),))
    unfitted = VerdictProfile(
        FittedFor("-", "-", "-"), {SAME_LANGUAGE: weigh, CROSS_LANGUAGE: weigh}, {}, Bounds(), "nothing", source
    )
    path = folder / "probe-only.json"
    path.write_text(json.dumps(to_json(Profile(f"probe-{part}", "none", verdict=unfitted))), encoding="utf-8")
    return load_guard(model, profile=path)


def _pairs(
    name: str, statements: Path, parallel: Path, folds: str, questions: int, templates: int
) -> dict[str, list[Pair]]:
    """Pairs of a yardstick by the part of the probe that has not seen them."""
    found: dict[str, list[Pair]] = defaultdict(list)
    if name == "statements":
        items = [item for item in read_items(statements) if str(fold(item.name)) in folds.split(",")]
        four_way = [item for item in items if item.is_four_way]
        for pair in (*four_way_pairs(items), *irrelevant_pairs(four_way)):
            found[str(fold(pair.item))].append(pair)
    elif name == "templates":
        found["final"] = template_pairs(templates)
    else:
        rows = read_parallel(parallel)
        found["final"] = _some(list(crosslingual.twins(rows, name)), questions)
        found["foreign"] = _some(list(crosslingual.foreign(rows, name)), questions)
    return found


def _some(pairs: Sequence[Pair], questions: int) -> list[Pair]:
    """The pairs of so many questions, spread evenly over the file."""
    names = list(dict.fromkeys(pair.key.split("|")[1] for pair in pairs))
    step = max(1, len(names) // questions)
    chosen = set(names[::step][:questions])
    return [pair for pair in pairs if pair.key.split("|")[1] in chosen]


def _hash(probe: Path, part: str) -> str:
    return load_source(place(probe, part)).sha256[:12]


def _read(path: Path) -> dict[str, Gathered]:
    if not path.exists():
        raise typer.BadParameter(f"{path} is not there; run `gather` with the same options first")
    rows = [Gathered(**row) for row in lines(path)]
    makers = {row.produced_by for row in rows}
    if len(makers) > 1:
        raise typer.BadParameter(f"{path} mixes rows of {', '.join(sorted(makers))}; gather into an empty folder")
    return {row.key: row for row in rows}


def _fitted_for(guard: Guard) -> FittedFor:
    stamp = guard.stamp
    return FittedFor(guard.backend.evidence_hash, stamp.engine, stamp.dtype)


if __name__ == "__main__":
    with stated_errors():
        app()
