"""The report of an experiment: figures 6 and 7, tables, and statements that are computed from numbers alone.

Reads what `experiment` has written and loads no model, so that it can be written again at any time, also of what is
only half done: what is missing is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmguard.errors import XmguardError
from xmguard.profile import CARD
from xmguard_research.mixing import figures, tables
from xmguard_research.mixing.arms import NONE, UNTOUCHED, Evaluation, Experiment
from xmguard_research.mixing.evaluating import Response, answered, key, manner
from xmguard_research.mixing.experiment import ArmsDiffer, Checkpoint, asked, evaluated
from xmguard_research.mixing.folders import rewrite, told
from xmguard_research.mixing.measures import (
    DIFFERENCE,
    REDUCTION,
    Checkpoints,
    Number,
    comparisons,
    of_arms,
    paired,
    values,
)
from xmguard_research.mixing.posing import CONFLICT, ORDERED
from xmguard_research.mixing.quantities import (
    ACCURACIES,
    BALANCED,
    DETECTION,
    DETECTIONS,
    EXACT,
    FALSE_ALARMS,
    IMBALANCE,
    MEANINGS,
    READINGS,
)
from xmguard_research.reports.drawing import Drawing

REPORT, FIGURE_6, FIGURE_7 = "report.md", "figure-6", "figure-7"
STANDARD = "standard"
BARE = "A number without brackets has no interval: all its draws are equal."
WORTH = (
    "They are percentile intervals, which few topics and seeds make too narrow: on simulated normal numbers they hold "
    "the truth in about 75% of cases with 4 topics and one seed, 85% with 4 and 3, 90% with 9 and 3."
)
INTERVALS = "Whiskers and brackets are 95% intervals over topics, and over seeds where an arm has several."


@dataclass(frozen=True)
class Result:
    """Everything that is known of an experiment."""

    experiment: Experiment
    arms: Mapping[str, Checkpoints]
    numbers: Sequence[Number]
    compared: Sequence[Number]
    trainings: Sequence[Mapping[str, Any]]
    """What cards say of the training of every checkpoint that was trained."""
    missing: Sequence[str]
    """Checkpoints that are not evaluated to the end."""

    def of(self, what: str, **wanted: str) -> list[Number]:
        """Numbers, also of comparisons, by name and fields."""
        every = (*self.numbers, *self.compared)
        return [one for one in every if one.what == what and all(getattr(one, k) == v for k, v in wanted.items())]


def collect(experiment: Experiment, out: Path) -> Result:
    """Read and count.

    Raises:
        XmguardError: nothing is evaluated yet, or the card of what is evaluated cannot be read.
        ArmsDiffer: checkpoints of a seed took different numbers of steps, or some were asked in another manner.
    """
    wanted = [key(one, prompt) for one in asked(experiment) for prompt in one.prompts]
    arms: dict[str, dict[int | None, Sequence[Response]]] = {}
    missing, trainings = [], []
    for one in evaluated(experiment, out):
        found = answered(one.evaluation)
        if not set(wanted) <= set(found):
            missing.append(one.name)
            continue
        arms.setdefault(one.arm, {})[one.seed] = [found[name] for name in wanted]
        if one.arm != UNTOUCHED:
            trainings.append(_training(one))
    if not arms:
        raise XmguardError(f"{out}: no checkpoint is evaluated to the end yet; xmguard mix experiment goes on with it")
    _require_same_steps(trainings)
    _require_same_manner(arms)
    pairs = [pair for pair in experiment.compare if set(pair) <= set(arms)]
    return Result(experiment, arms, of_arms(arms), comparisons(arms, pairs), trainings, missing)


def write(result: Result, out: Path) -> list[Path]:
    """Write report, figures, `summary.json` and `summary.csv` into a folder; returns them.

    Raises:
        XmguardError: they cannot be written.
    """
    drawings = [one for one in (imbalances(result), detections(result)) if one is not None]
    about = {
        "experiment": result.experiment.name,
        "title": result.experiment.title,
        "missing": list(result.missing),
        "trainings": list(result.trainings),
    }
    tables.write(out, [*result.numbers, *result.compared], about)
    with told(out, "What was trained and answered is kept; xmguard mix report writes the report again"):
        for drawing in drawings:
            (out / f"{drawing.name}.svg").write_bytes(drawing.svg)
            (out / f"{drawing.name}.png").write_bytes(drawing.png)
        rewrite(out / REPORT, markdown(result, [(one.name, one.caption) for one in drawings]))
    names = [REPORT, tables.SUMMARY, tables.TABLE]
    names += [f"{one.name}.{kind}" for one in drawings for kind in ("svg", "png")]
    return [out / name for name in names]


def imbalances(result: Result) -> Drawing | None:
    """Figure 6: imbalance by arm, of every pair of languages or modalities; None where there is none."""
    found = _crossing(result.of(IMBALANCE, prompt=STANDARD))
    if not found:
        return None
    caption = (
        "Imbalance by arm: absolute log ratio of the two sources' mean contributions, Standard prompt, both orders; 0 "
        f"is even. {INTERVALS}"
    )
    shown = {("", one.variant, one.arm): one.estimate for one in found}
    return figures.bars(
        FIGURE_6,
        caption,
        panels=[""],
        groups=list(dict.fromkeys(one.variant for one in found)),
        arms=_shown(result),
        mixing=result.experiment.mixing,
        series=[figures.Bars(IMBALANCE, shown)],
        label="imbalance, nats",
    )


def detections(result: Result) -> Drawing | None:
    """Figure 7: detection by arm within and across, false alarms beside it; None where no conflict was asked for."""
    both = (DETECTION, FALSE_ALARMS)
    found = [one for what in both for one in result.of(what) if ORDERED not in one.variant]
    if not found:
        return None
    caption = (
        "Share of responses that report a conflict, by arm: plain of conflicts, which is detection, hatched of "
        f"controls, which is false alarms. {INTERVALS}"
    )
    series = [
        figures.Bars(
            "conflicts" if what == DETECTION else "controls (false alarms)",
            {(one.prompt, one.variant, one.arm): one.estimate for one in found if one.what == what},
            hatched=what == FALSE_ALARMS,
        )
        for what in both
    ]
    return figures.bars(
        FIGURE_7,
        caption,
        panels=list(dict.fromkeys(one.prompt for one in found)),
        groups=list(dict.fromkeys(one.variant for one in found)),
        arms=_shown(result),
        mixing=result.experiment.mixing,
        series=series,
        label="responses that report a conflict, %",
        percent=True,
    )


def markdown(result: Result, shown: Sequence[tuple[str, str]] = ()) -> str:
    """The report."""
    experiment = result.experiment
    parts = [f"# {experiment.title}", _about(experiment)]
    if result.missing:
        parts.append(f"**Not done yet, and in no number below:** {', '.join(result.missing)}.")
    said = statements(result)
    parts += ["## What was found", "\n".join(f"- {one}" for one in said), chance(said)]
    for name, caption in shown:
        parts += [f"![{caption}]({name}.svg)", f"*{caption}*"]
    parts += ["## What was trained", tables.markdown(training_table(result))]
    sections = {"Conflicts": DETECTIONS, "Imbalance": READINGS, "Questions with one answer": ACCURACIES}
    for title, whats in sections.items():
        table = number_table(result.numbers, whats)
        parts += [f"## {title}", tables.markdown(table)] if len(table) > 1 else []
    by_seed = seed_table(result)
    parts += ["## Every seed, Standard prompt", tables.markdown(by_seed)] if len(by_seed[0]) > 2 else []
    for title, prefix in (("Differences between arms", DIFFERENCE), ("Reductions of imbalance", REDUCTION)):
        own = [one for one in result.compared if one.what.startswith(prefix)]
        if own:
            whats = tuple(dict.fromkeys(one.what for one in own))
            parts += [f"## {title}", tables.markdown(number_table(own, whats, prefix=f"{prefix} "))]
    meanings = "\n".join(f"- *{what}*: {said}" for what, said in MEANINGS.items())
    parts += ["## What the names mean", meanings, f"{INTERVALS} {WORTH} {BARE} Rates are in percent."]
    return "\n\n".join(parts) + "\n"


def statements(result: Result) -> list[str]:
    """What was reproduced of the paper and what was not, each from one comparison and its interval.

    Arms are compared by the seeds that both have; a statement says how many these are.
    """
    said = []
    for one, other in result.experiment.compare:
        if not {one, other} <= set(result.arms) or not paired(result.arms[one], result.arms[other]):
            said.append(f"**Not compared** – {one} with {other}: no seed of both is evaluated to the end.")
            continue
        for number in _crossing(result.of(f"{REDUCTION} {IMBALANCE}", arm=one, against=other, prompt=STANDARD)):
            said.append(_stated(number, 1.0, f"imbalance of {other} over that of {one}", "times"))
        for what, better in ((DETECTION, "more"), (FALSE_ALARMS, "fewer"), (BALANCED, "more")):
            for number in _crossing(result.of(f"{DIFFERENCE} {what}", arm=one, against=other)):
                label = f"{what} of {one} minus that of {other}, {number.prompt} prompt"
                said.append(_stated(number, 0.0, label, f"points ({better} is better)"))
        for number in result.of(f"{DIFFERENCE} {EXACT}", arm=one, against=other):
            label = f"exact answers of {one} minus those of {other}, {number.task}"
            said.append(_stated(number, 0.0, label, "points (more is better)"))
    return said or ["No two arms are to be compared."]


def chance(said: Sequence[str]) -> str:
    """How many of some statements chance alone would show."""
    count = sum(one.startswith(("**Shown", "**Not shown**")) for one in said)
    return (
        f"{count} of these statements have an interval, and none is corrected for their number: if no two arms "
        f"differed, about {count / 20:.0f} of them would be shown by chance if intervals were exact, and "
        f"{count / 4:.0f} at what they are worth with 4 topics and one seed. {WORTH}"
    )


def training_table(result: Result) -> tables.Table:
    """What every checkpoint was trained on, as its card has it."""
    head = ("arm", "seed", "trained tokens", "read tokens", "instances", "items", "steps", "seconds")
    rows = [[str(one[name]) if one[name] is not None else tables.ABSENT for name in head] for one in result.trainings]
    return [head, *rows]


def seed_table(result: Result) -> tables.Table:
    """What is found across languages or modalities of every checkpoint by itself, without intervals."""
    whats = (DETECTION, FALSE_ALARMS, IMBALANCE)
    rows = []
    columns: dict[str, None] = {}
    for arm, checkpoints in result.arms.items():
        for seed, responses in checkpoints.items():
            cells = {
                f"{cell.variant} {what}": tables.plain(value, what)
                for cell, what, value in values(responses)
                if what in whats and cell.prompt == STANDARD and _crosses(cell.variant, cell.task)
            }
            columns |= dict.fromkeys(cells)
            rows.append((arm, tables.ABSENT if seed is None else str(seed), cells))
    return [("arm", "seed", *columns), *((arm, seed, *(cells[name] for name in columns)) for arm, seed, cells in rows)]


def number_table(numbers: Sequence[Number], whats: Sequence[str], *, prefix: str = "") -> tables.Table:
    """A row for every variant, prompt and arm, a column for every quantity."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for one in numbers:
        if one.what in whats:
            arm = f"{one.arm} vs {one.against}" if one.against else one.arm
            asked_for = one.prompt if one.task == CONFLICT else one.task
            cell = rows.setdefault((one.suite, one.variant, asked_for, arm), {})
            cell[one.what] = tables.shown(one.estimate, one.what)
    order = {name: place for place, name in enumerate(dict.fromkeys(name[:3] for name in rows))}
    names = sorted(rows, key=lambda name: order[name[:3]])
    body = [[*name, *(rows[name].get(what, tables.ABSENT) for what in whats)] for name in names]
    return [("suite", "variant", "asked", "arm", *(what.removeprefix(prefix) for what in whats)), *body]


def _about(experiment: Experiment) -> str:
    arms = (f"`{arm}` ({', '.join(f'{k}: {v}' for k, v in own.items())})" for arm, own in experiment.arms.items())
    stage, training = (_sources(part) for part in (experiment.stage, experiment.training))
    return (
        f"Base `{experiment.base}`, {len(experiment.seeds)} seed(s) of every arm that is trained. `{NONE}` is what all "
        f"arms begin from: the base, trained on {stage}. The arms were trained on from there, on the same items of "
        f"{training}, none of them a conflict, and differ in how these are put together: "
        f"{'; '.join(arms)}. Every checkpoint was asked {'; '.join(map(_asked, experiment.evaluation))}."
    )


def _sources(part: Mapping[str, Any]) -> str:
    every = part["data"]["sources"]
    return ", ".join(f"{one['name']} ({one.get('generator') or one.get('dataset') or one['path']})" for one in every)


def _asked(part: Evaluation) -> str:
    return (
        f"{part.suite} ({', '.join(part.variants)}): {part.items} topics, each in conflicts and controls and in both "
        f"orders, and {part.questions} topics of questions with one answer"
    )


def _stated(number: Number, even: float, label: str, unit: str) -> str:
    estimate = number.estimate
    where = f"{number.suite} {number.variant}"
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return f"{where}: {label} is not defined."
    shown = f"{label} is {tables.shown(estimate, number.what)} {unit}"
    drawn = f"{_counted(number.items, 'topic')}, {_counted(max(number.seeds, number.against_seeds), 'seed')}"
    if estimate.low == estimate.high:
        return f"**Cannot be said** – {where}: {shown}; all draws are equal ({drawn})."
    if estimate.low <= even <= estimate.high:
        return f"**Not shown** – {where}: {shown} ({drawn}); the interval holds {even:g}."
    side = "above" if estimate.value > even else "below"
    return f"**Shown, {side} {even:g}** – {where}: {shown} ({drawn})."


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _crossing(numbers: Sequence[Number]) -> list[Number]:
    """Those of variants across languages or modalities, both orders together."""
    return [one for one in numbers if _crosses(one.variant, one.task)]


def _crosses(variant: str, task: str) -> bool:
    return ORDERED not in variant and len(set(variant.split("-"))) > 1 and task == CONFLICT


def _shown(result: Result) -> list[str]:
    named = result.experiment.figures or [NONE, *result.experiment.arms]
    return [arm for arm in named if arm in result.arms]


def _training(one: Checkpoint) -> dict[str, Any]:
    card = one.model / CARD
    try:
        training = json.loads(card.read_text(encoding="utf-8"))["training"]
    except (OSError, ValueError, KeyError) as error:
        raise XmguardError(
            f"{card} does not say how {one.name} was trained ({error}); get it again, or remove {one.evaluation}"
        ) from error
    own = {name: training.get(name) for name in ("trained_tokens", "read_tokens", "steps", "seconds")}
    data = training.get("data", {})
    named = {name.replace("_", " "): value for name, value in own.items()}
    return {"arm": one.arm, "seed": one.seed, "instances": data.get("instances"), "items": data.get("items"), **named}


def _require_same_steps(trainings: Sequence[Mapping[str, Any]]) -> None:
    for seed in {one["seed"] for one in trainings} - {None}:
        steps = {one["arm"]: one["steps"] for one in trainings if one["seed"] == seed}
        if len(set(steps.values())) > 1:
            said = ", ".join(f"{arm} {count}" for arm, count in steps.items())
            raise ArmsDiffer(f"checkpoints of seed {seed} were trained for different numbers of steps: {said}")


def _require_same_manner(arms: Mapping[str, Checkpoints]) -> None:
    asked_in: dict[str, list[str]] = {}
    for arm, checkpoints in arms.items():
        for seed, rows in checkpoints.items():
            for found in {manner(row) for row in rows}:
                asked_in.setdefault(found, []).append(arm if seed is None else f"{arm}/{seed}")
    if len(asked_in) > 1:
        said = "; ".join(f"{', '.join(names)} in {found}" for found, names in asked_in.items())
        raise ArmsDiffer(
            f"checkpoints were not asked in the same manner: {said}. Remove the evaluation folders of some, and run "
            "xmguard mix experiment again"
        )
