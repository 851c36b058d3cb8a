"""Runs an experiment: builds, trains and evaluates whatever is not done yet, and sees that its arms can be compared.

    OUT/experiment.json               what it is of
    OUT/stage/                        what all arms begin from, a run of `training`
    OUT/arms/ARM/seed-N/              a run of `training`, its data in `data`
    .../evaluation/responses.jsonl    of every checkpoint

No arm may be trained on a conflict, and all must be trained on the same items in as many steps. Knows no figure.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import BadParameter

from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.profile import CARD
from xmguard_research.mixing.arms import NONE, STAGE, UNTOUCHED, Experiment
from xmguard_research.mixing.evaluating import answered, evaluate, key, stamped
from xmguard_research.mixing.folders import rewrite, told
from xmguard_research.mixing.posing import Posed, posed
from xmguard_research.mixing.recipe import Recipe

if TYPE_CHECKING:
    from xmguard_research.mixing.building import Plan

FILE = "experiment.json"
DATA, MODEL, EVALUATION = "data", "model", "evaluation"
Tell = Callable[[str], None]
"""Told in words what is done."""


class ArmsDiffer(XmguardError):
    """Arms cannot be compared: they would not be trained on the same."""

    code = ErrorCode.FAILED_PRECONDITION
    reason = Reason.REQUEST_INVALID


@dataclass(frozen=True)
class Checkpoint:
    """One model of an experiment."""

    arm: str
    seed: int | None
    """None of those that are not trained from several."""
    folder: Path
    """Of its run."""

    @property
    def name(self) -> str:
        """For people, and for `--only`."""
        return self.arm if self.seed is None else f"{self.arm}/{self.seed}"

    @property
    def model(self) -> Path:
        """Its checkpoint folder."""
        return self.folder / MODEL

    @property
    def evaluation(self) -> Path:
        """Where its responses are."""
        return self.folder / EVALUATION


@dataclass(frozen=True)
class Made:
    """What an arm is trained on, counted."""

    arm: str
    seed: int
    instances: int
    items: int
    trained_tokens: int
    read_tokens: int
    steps: int
    turns: str
    drawn: Counter[tuple[str, str]]
    """How often every item is there, by source and id."""
    sources: dict[str, str]
    """SHA-256 of each one's items."""


def require_own(experiment: Experiment, out: Path) -> None:
    """Refuse a folder of another experiment; seeds, arms and what is asked may be changed.

    Raises:
        InvalidRequest: it holds another experiment.
        XmguardError: what it holds cannot be read.
    """
    if not (out / FILE).exists():
        return
    there = opened(out)
    differing = [name for name, value in experiment.trained.items() if there.trained[name] != value]
    differing += [f"arms.{arm}" for arm, value in experiment.arms.items() if there.arms.get(arm, value) != value]
    if differing:
        raise InvalidRequest.field(
            "--out", f"{out} holds an experiment with another {', another '.join(differing)}; choose another folder"
        )


def claim(experiment: Experiment, out: Path) -> None:
    """Make `out` the folder of the experiment.

    Raises:
        InvalidRequest: it holds another one.
        XmguardError: what it holds cannot be read, or it cannot be written.
    """
    require_own(experiment, out)
    content = json.dumps(experiment.model_dump(mode="json"), ensure_ascii=False, indent=1)
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
        rewrite(out / FILE, content + "\n")


def opened(out: Path) -> Experiment:
    """The experiment of a folder.

    Raises:
        XmguardError: it holds none.
    """
    try:
        return Experiment.parse(json.loads((out / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise XmguardError(
            f"{out} holds no {FILE} that can be read ({error}); xmguard mix experiment writes one where there is none",
            code=ErrorCode.INVALID_ARGUMENT,
            reason=Reason.REQUEST_INVALID,
        ) from error


def trained(experiment: Experiment, out: Path) -> list[Checkpoint]:
    """Every arm that is trained, of every seed; seeds first, so that a run that is cut short has whole comparisons."""
    return [
        Checkpoint(arm, seed, out / "arms" / arm / f"seed-{seed}")
        for seed in experiment.seeds
        for arm in experiment.arms
    ]


def evaluated(experiment: Experiment, out: Path) -> list[Checkpoint]:
    """Everything that is asked."""
    untouched = [Checkpoint(UNTOUCHED, None, out / UNTOUCHED)] if experiment.untouched else []
    return [*untouched, Checkpoint(NONE, None, out / STAGE), *trained(experiment, out)]


def run(
    experiment: Experiment,
    out: Path,
    only: Sequence[str] = (),
    tell: Tell = lambda line: None,
    *,
    device: str = "cpu",
) -> None:
    """Do what is not done.

    Args:
        experiment: what there is to do.
        out: its folder.
        only: names of arms, `ARM/SEED`, or `stage`; empty for all.
        tell: told what is done.
        device: a torch device, on which checkpoints are asked.

    Raises:
        InvalidRequest: `only` names what is not there; what is asked is not there; a source of the arms holds a
            conflict; `out` is another's.
        ArmsDiffer: they would not be trained on the same items in as many steps.
    """
    everything = evaluated(experiment, out)
    names = {name for one in everything for name in (one.arm, one.name)} | {STAGE}
    if unknown := [name for name in only if name not in names]:
        raise InvalidRequest.field("--only", f"{unknown[0]!r} is not there; there are {', '.join(sorted(names))}")

    def is_wanted(one: Checkpoint) -> bool:
        return not only or one.arm in only or one.name in only or (one.arm == NONE and STAGE in only)

    every = asked(experiment)
    require_own(experiment, out)
    require_no_conflict(experiment, out)
    wanted = [one for one in everything if is_wanted(one)]
    trains = any(one.arm != UNTOUCHED for one in wanted)
    if trains and not (out / STAGE / MODEL / CARD).is_file():
        tell("drawing what arms will be trained on")
        require_equal(planned(experiment, out))
    claim(experiment, out)
    if device.startswith("cpu"):
        _tell_emulation(experiment, tell)
    if trains:
        train(experiment.stage_recipe(out), out / STAGE, tell)
    if any(one.seed is not None for one in wanted):
        require_equal([built(experiment, one, out, tell) for one in trained(experiment, out)])
    for number, one in enumerate(wanted, start=1):
        place = f"[{number}/{len(wanted)}] {one.name}"
        if one.seed is not None:
            train(experiment.recipe(one.arm, one.seed, out), one.folder, partial(_say, tell, place))
        tell(f"{place}: evaluating")
        _evaluate(experiment, one, every, device)


def asked(experiment: Experiment) -> list[Posed]:
    """What every checkpoint is asked."""
    return [one for part in experiment.evaluation for one in posed(part.wanted)]


def is_evaluated(one: Checkpoint, every: Sequence[Posed]) -> bool:
    """Whether a checkpoint was asked everything."""
    return {key(posed, prompt) for posed in every for prompt in posed.prompts} <= set(answered(one.evaluation))


def train(recipe: Recipe, folder: Path, tell: Tell) -> None:
    """Build and train, unless it is done.

    Raises:
        XmguardError: as `training.run_training`.
    """
    from xmguard_research.mixing import training
    from xmguard_research.mixing.watching import now_and_then

    training.run_training(recipe, None, folder, tell=tell, show=now_and_then(tell))
    gc.collect()  # of what was trained nothing is needed for the next


def built(experiment: Experiment, one: Checkpoint, out: Path, tell: Tell) -> Made:
    """Build an arm's data, unless it is there, and count what it is made of."""
    from xmguard_research.mixing import building

    assert one.seed is not None
    recipe = experiment.recipe(one.arm, one.seed, out)
    tell(f"{one.name}: building data")
    made = building.build(recipe, one.folder / DATA, begun=True)
    with (made.folder / building.INSTANCES).open(encoding="utf-8") as lines:
        drawn = Counter((item["source"], item["id"]) for line in lines for item in json.loads(line)["items"])
    return _made(one.arm, one.seed, recipe, made.manifest, drawn)


def planned(experiment: Experiment, out: Path) -> list[Made]:
    """The same of every arm and seed, without writing anything: the stage's tokenizer is that of the base."""
    from xmguard_research.mixing import building, sources

    recipes = {
        (arm, seed): experiment.recipe(arm, seed, out, base=experiment.base)
        for seed in experiment.seeds
        for arm in experiment.arms
    }
    one = next(iter(recipes.values()))
    read = sources.read(one)
    counter = building.counter_of(one, read)
    return [
        _planned(arm, seed, recipe, building.mixed(recipe, read, counter)) for (arm, seed), recipe in recipes.items()
    ]


def planned_stage(experiment: Experiment, out: Path) -> Made:
    """The same of the stage."""
    from xmguard_research.mixing import building

    recipe = experiment.stage_recipe(out)
    return _planned(STAGE, 0, recipe, building.plan(recipe))


def _planned(arm: str, seed: int, recipe: Recipe, plan: Plan) -> Made:
    from xmguard_research.mixing import building

    drawn = Counter((item.source, item.id) for instance in plan.instances for item in instance.items)
    return _made(arm, seed, recipe, building.describe(plan), drawn)


def _made(arm: str, seed: int, recipe: Recipe, manifest: dict[str, Any], drawn: Counter[tuple[str, str]]) -> Made:
    return Made(
        arm,
        seed,
        manifest["instances"],
        manifest["items"],
        manifest["trained_tokens"],
        manifest["read_tokens"],
        ceil(manifest["instances"] / recipe.instances_per_step),
        recipe.data.turns,
        drawn,
        {source["name"]: source["sha256"] for source in manifest["sources"]},
    )


def require_equal(every: Sequence[Made]) -> None:
    """Refuse arms of one seed that differ in items or steps, or, where every item has its own turn, in trained tokens.

    One reply to all items of an instance numbers them and ends once, so it has other tokens than a reply to each.

    Raises:
        ArmsDiffer: they do.
    """
    for seed in dict.fromkeys(one.seed for one in every):
        first, *others = [one for one in every if one.seed == seed]
        for other in others:
            pair = f"arms {first.arm} and {other.arm}, seed {seed}"
            if (other.drawn, other.sources) != (first.drawn, first.sources):
                raise ArmsDiffer(f"{pair}: not of the same items; let arms differ in strategy, items and turns alone")
            if other.steps != first.steps:
                raise ArmsDiffer(
                    f"{pair}: {first.steps} and {other.steps} steps for {first.items} items, because of instances that "
                    "are not full; change training.data.trained_tokens a little"
                )
            if other.turns == first.turns and other.trained_tokens != first.trained_tokens:
                raise ArmsDiffer(f"{pair}: {first.trained_tokens} and {other.trained_tokens} trained tokens")


def require_no_conflict(experiment: Experiment, out: Path) -> None:
    """Refuse a conflict in what arms are trained on, and one across languages or modalities in the stage.

    Raises:
        InvalidRequest: an item is one, or does not say in `meta` what it is.
    """
    from xmguard_research.mixing import sources

    # The sources are those of every arm and seed: arms differ in how items are put together alone.
    arm, seed = next(iter(experiment.arms)), experiment.seeds[0]
    for read in sources.read(experiment.recipe(arm, seed, out, base=experiment.base)):
        for item in read.items:
            if item.meta.get("conflict") is not False:
                raise InvalidRequest.field(
                    f"training.data.sources.{read.source.name}",
                    f"item {item.id} of {item.where} is a conflict, or does not say that it is none (meta.conflict); "
                    "arms are trained without any",
                )
    for read in sources.read(experiment.stage_recipe(out)):
        for item in read.items:
            labels = {name: item.meta.get(name, ()) for name in ("languages", "modalities")}
            mixed = [name for name, there in labels.items() if len(set(there)) > 1]
            conflict = item.meta.get("conflict")
            wrong = None
            if conflict is not True and conflict is not False:
                wrong = "does not say whether it is a conflict (meta.conflict)"
            elif conflict and not any(labels.values()):
                wrong = "is a conflict, and does not say of what (meta.languages or meta.modalities)"
            elif conflict and mixed:
                wrong = f"is a conflict across {mixed[0]}"
            if wrong:
                raise InvalidRequest.field(
                    f"stage.data.sources.{read.source.name}",
                    f"item {item.id} of {item.where} {wrong}; the stage teaches those within one language or modality "
                    "alone, or nothing is left to see what mixing does",
                )


def _evaluate(experiment: Experiment, one: Checkpoint, every: Sequence[Posed], device: str) -> None:
    """Ask a checkpoint what it was not asked yet, and write its numbers."""
    from xmguard.loading import load_guard
    from xmguard_research.mixing import measures, tables

    untouched = one.arm == UNTOUCHED
    guard = load_guard(experiment.base if untouched else str(one.model), device=device, dtype=experiment.dtype)
    try:
        rows = evaluate(guard, every, one.evaluation)
    except BadParameter as error:
        raise XmguardError(
            f"{one.name} was asked with other weights, in another dtype or by another version ({error.message}); "
            f"remove {one.evaluation} to ask it again, or go on as before",
            code=ErrorCode.FAILED_PRECONDITION,
            reason=Reason.REQUEST_INVALID,
        ) from error
    numbers = measures.of_checkpoint(rows, one.name)
    measured = stamped(guard)
    tables.write(one.evaluation, numbers, {"model": one.name, **measured})
    if not untouched:
        settings: dict[str, Any] = {part.suite: part.wanted.setting for part in experiment.evaluation}
        tables.write_card(one.model, numbers, measured, settings)
    del guard
    gc.collect()


def _tell_emulation(experiment: Experiment, tell: Tell) -> None:
    from xmguard_research.mixing.processor import emulation

    if experiment.dtype == "bfloat16" and (
        said := emulation("to evaluate with dtype: float32, or --set dtype=float32,")
    ):
        tell(said)


def _say(tell: Tell, place: str, line: str) -> None:
    tell(f"{place}: {line}")
