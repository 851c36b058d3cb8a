"""`xmguard bench analyse`: why a model reports or misses contradictions, in numbers, tables and figures.

Heavy modules are imported when it runs.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from xmguard.cli.terminal import output, printable, progress
from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard.loading import load_guard
from xmguard.models.resolve import WITHOUT_A_NAME, default_model
from xmguard.plugins import load_plugins

if TYPE_CHECKING:
    from xmguard import Guard
    from xmguard_research.analyses.opening import Asking
    from xmguard_research.analyses.outcome import Outcome
    from xmguard_research.analyses.steering import Knob, Setting
    from xmguard_research.benchmarks.cases import Case


class Analysis(Enum):
    """What is looked at."""

    CONTRIBUTIONS = "contributions"
    SWEEP = "sweep"
    TARGET_SHARE = "target-share"
    ORDER = "order"
    DOMINANCE = "dominance"
    BALANCE = "balance"


_KNOBS: Mapping[Analysis, Knob] = {Analysis.SWEEP: "epsilon", Analysis.TARGET_SHARE: "share"}


def analyse(
    analysis: Annotated[Analysis, typer.Argument(help="What is looked at.")],
    model: Annotated[
        str,
        typer.Option(help=f"A model's name (see `xmguard models list`) or a folder with weights. {WITHOUT_A_NAME}"),
    ] = "",
    suite: Annotated[str, typer.Option(help="A suite of `xmguard bench list`.")] = "clqa-mini",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-T", metavar="NAME=VALUE", help="Of the suite: see `xmguard bench list SUITE`."),
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="At most so many, each in all its variants and orders.")] = 20,
    prompt: Annotated[
        str, typer.Option(help="standard, instructed, explicit, or figure5: explicit where modalities meet.")
    ] = "standard",
    max_tokens: Annotated[int, typer.Option(min=1, help="That an answer may have.")] = 64,
    amounts: Annotated[str, typer.Option(help="sweep: nats, target-share: shares of attention; with commas.")] = "",
    steer: Annotated[
        str, typer.Option(help="sweep, target-share: the later source, or the weaker, which contributes less.")
    ] = "",
    scopes: Annotated[
        str, typer.Option(help="sweep, target-share: some of readers,all,generated. Without it all.")
    ] = "",
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of another analysis but sweep and target-share: these read cases alike."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Without it build/bench/analyses/NAME; the same goes on there."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where the model runs, for example cpu or cuda:0.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
) -> None:
    """Find out why a model reports or misses contradictions.

    contributions: what each source contributes, by layer and head, and whether
    it pushes toward the answer. sweep, target-share: what steering one source
    changes in what is reported and which source is followed. order: whether
    what stands first is followed more. dominance: whose tokens the answer
    attends to (MDI, AEI). balance: at which difference of uncertainty both
    sources are followed alike.

    Writes rows.jsonl, summary.json, table.md and figures into a folder. After a
    kill, the same command asks only what is missing.
    """
    try:
        from xmguard_research.analyses.opening import Asking, pairs
        from xmguard_research.benchmarks.cases import whole_items
        from xmguard_research.benchmarks.suites import cases, told, with_suites
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[research]"') from error
    # Everything that can be wrong with the call is said before a model is loaded.
    _refuse_useless(analysis, amounts, steer, scopes, rows)
    knob = _KNOBS.get(analysis)
    chosen = [] if knob is None else _settings(knob, amounts, steer, scopes)
    asking = Asking(prompt, max_tokens)
    wanted = pairs(whole_items(cases(suite, told(option), with_suites()), items))
    registry = load_plugins()
    model = model or default_model(registry)
    with progress(f"loading {model}") as step:
        guard = load_guard(model, device=device, dtype=dtype, registry=registry, progress=step)
    folder = out or Path("build/bench/analyses") / analysis.value
    if chosen:
        found = _swept(guard, wanted, asking, chosen, folder)
    else:
        found = _read(analysis, guard, wanted, asking, folder, rows)
    _write(found, guard.model, suite, len({case.item for case in wanted}), folder)


def _refuse_useless(analysis: Analysis, amounts: str, steer: str, scopes: str, rows: Path | None) -> None:
    steering = {"amounts": amounts, "steer": steer, "scopes": scopes}
    useless = {"rows": rows} if analysis in _KNOBS else steering
    if given := [f"--{name}" for name, value in useless.items() if value]:
        raise InvalidRequest.field(given[0], f"{analysis.value} has no use for it; leave it out")


def _settings(knob: Knob, amounts: str, steer: str, scopes: str) -> list[Setting]:
    from xmguard_research.analyses.sweep import AMOUNTS, settings
    from xmguard_research.benchmarks.settings import SCOPES

    try:
        numbers = [float(one) for one in amounts.split(",")] if amounts else AMOUNTS[knob]
    except ValueError as error:
        raise InvalidRequest.field("--amounts", f"{amounts!r} is no list of numbers: {error}") from error
    return settings(knob, numbers, steer or "later", scopes.split(",") if scopes else list(SCOPES))


def _read(
    analysis: Analysis, guard: Guard, cases: Sequence[Case], asking: Asking, folder: Path, rows: Path | None
) -> Outcome:
    from xmguard_research.analyses import balance, contributions, dominance, order
    from xmguard_research.analyses.outcome import ROWS
    from xmguard_research.analyses.reading import readings

    found = readings(guard, cases, asking, rows or folder / ROWS)
    match analysis:
        case Analysis.CONTRIBUTIONS:
            return contributions.outcome(found)
        case Analysis.DOMINANCE:
            return dominance.outcome(found)
        case Analysis.ORDER:
            return order.outcome(found, guard.registry)
        case _:
            return balance.outcome(found, guard.registry)


def _swept(guard: Guard, cases: Sequence[Case], asking: Asking, chosen: Sequence[Setting], folder: Path) -> Outcome:
    from xmguard_research.analyses.opening import asked
    from xmguard_research.analyses.outcome import ROWS
    from xmguard_research.analyses.steering import sweep
    from xmguard_research.analyses.sweep import outcome
    from xmguard_research.judge.settings import JudgeSettings, make, with_judges

    found = sweep(guard, cases, chosen, asking, folder / ROWS)
    questions = {case.id: asked(guard, case, asking) for case in cases}
    return outcome(found, chosen, questions, make("rules", JudgeSettings(), with_judges()), guard.registry)


def _write(found: Outcome, model: str, suite: str, items: int, folder: Path) -> None:
    from xmguard_research.analyses.outcome import About, markdown, write

    write(found, About(model, suite, items, shlex.join(["xmguard", *sys.argv[1:]])), folder)
    console = output()
    console.print(Text(printable(markdown(found))), soft_wrap=True)
    console.print(Text(printable(f"wrote {folder}")), soft_wrap=True)
