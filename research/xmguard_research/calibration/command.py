"""The `xmguard calibrate` command. Imports nothing heavy until it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.text import Text

from xmguard import Guard
from xmguard.cli.terminal import output, printable, progress
from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard.loading import load_guard
from xmguard.models.resolve import WITHOUT_A_NAME, default_model
from xmguard.plugins import load_plugins

_PROMPTS, _AIM = "instructed", "detection"


def calibrate(
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON lines with question, texts (two), label (conflict, consistent or undetermined), and optionally "
            "languages (two) and item (lines of one item are kept together when something is left out).",
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="A suite of `xmguard bench list`, in place of --pairs: fits heads and policies as well."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help=f"A model's name (see `xmguard models list`) or a folder with weights. {WITHOUT_A_NAME}"),
    ] = "",
    device: Annotated[str, typer.Option(help="Where the model runs, for example cpu or cuda:0.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16; a verdict is calibrated for one of them.")] = (
        "float32"
    ),
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Start from this profile; without it from the model's own.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the profile goes.")] = Path("my-profile.json"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace --out, and what was gathered beside it in other settings.")
    ] = False,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Fit every weight anew, which takes more pairs, in place of a new scale."),
    ] = False,
    items: Annotated[
        int | None, typer.Option(min=1, help="With --suite: at most so many dev items, and so many test items.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar='"POLICY NAME=NUMBER"', help="With --suite: a policy to try, in place of the usual ones."),
    ] = None,
    prompts: Annotated[
        str, typer.Option(help="With --suite: asked beside standard, of instructed and explicit.")
    ] = _PROMPTS,
    aim: Annotated[
        str,
        typer.Option(
            help="With --suite: what a policy is chosen for, detection (of conflicts) or balance (of sources)."
        ),
    ] = _AIM,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-T", metavar="NAME=VALUE", help="Of the suite: see `xmguard bench list SUITE`."),
    ] = None,
) -> None:
    """Calibrate a model on your own labelled pairs or on a suite, and write a profile.

    With --pairs, its verdict. A fitted verdict keeps its weights and is put
    on a new scale (20 conflict and 20 consistent pairs at least); --refit, or
    a model without one, fits all weights (60 and 60). Undetermined pairs, of
    which a text says nothing about the question, are optional. Shows what the
    verdict was worth before and is worth after, on pairs that were left out
    each time.

    With --suite, the verdict, the heads that count, and a policy for each
    pair of languages or modalities, where one is shown better than none. All
    is chosen on one half of the items; a report beside --out shows both.

    What was gathered stays beside --out, so that a run that was stopped goes
    on.
    """
    if (pairs is None) is (suite is None):
        raise InvalidRequest.field("--pairs", "give either --pairs FILE or --suite NAME")
    of_suites = {"items": items, "setting": setting, "option": option}
    of_suites |= {"prompts": prompts != _PROMPTS, "aim": aim != _AIM}
    strange = [name for name, given in of_suites.items() if given and suite is None]
    if strange:
        raise InvalidRequest.field(f"--{strange[0]}", "belongs to --suite; leave it out, or give a suite")

    def load() -> Guard:
        registry = load_plugins()
        name = model or default_model(registry)
        with progress(f"loading {name}") as step:
            return load_guard(name, device=device, dtype=dtype, profile=profile, registry=registry, progress=step)

    try:
        if pairs is not None:
            _on_pairs(pairs, load, out, refit=refit, force=force)
        elif suite is not None:
            tried = _Tried(items, tuple(setting or ()), prompts, aim, tuple(option or ()))
            _on_suite(suite, tried, load, out, refit=refit, force=force)
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[research]"') from error
    options = [("--model", model, ""), ("--device", device, "cpu"), ("--dtype", dtype, "float32")]
    given = "".join(f" {flag} {value}" for flag, value, usual in options if value != usual)
    _say(f"wrote {out}; next: xmguard serve{given} --profile {out}")


class _Tried(NamedTuple):
    """What the command line says of a suite."""

    items: int | None
    settings: tuple[str, ...]
    prompts: str
    aim: str
    options: tuple[str, ...]


def _on_pairs(pairs: Path, load: Callable[[], Guard], out: Path, *, refit: bool, force: bool) -> None:
    from xmguard_research.calibration import comparison, labelled
    from xmguard_research.calibration.calibrating import calibrated, refuse_existing

    refuse_existing(out, force=force)
    read = labelled.read_pairs(pairs)
    guard = load()
    made = calibrated(guard, read, labelled.description(pairs, read), out, refit=refit, force=force)

    console = output()
    labels = Counter(pair.label.value for pair in made.pairs)
    counts = ", ".join(f"{count} {label}" for label, count in labels.items())
    _say(f"{len(made.pairs)} pairs of {pairs.name}: {counts}; {len({pair.item for pair in made.pairs})} items")
    _say(f"before: {guard.describe().calibration}")
    for note in made.notes:
        _say(note)
    console.print()
    found = comparison.scores(made.pairs, made.before, made.after)
    console.print(comparison.table(found, made.pairs, made.before, made.after))
    console.print()
    console.print(Text(comparison.EXPLAINED, style="dim"))
    console.print(Text(comparison.conclusion(found), style="bold"))


def _on_suite(suite: str, tried: _Tried, load: Callable[[], Guard], out: Path, *, refit: bool, force: bool) -> None:
    from xmguard_research.benchmarks.settings import Settings
    from xmguard_research.benchmarks.suites import cases, told, with_suites
    from xmguard_research.calibration import suite_cases, suite_report
    from xmguard_research.calibration.calibrating import refuse_existing
    from xmguard_research.calibration.choosing import AIMS
    from xmguard_research.calibration.suite_calibrating import SETTINGS, Wanted, calibrated_on_suite

    refuse_existing(out, force=force)
    if tried.aim not in AIMS:
        raise InvalidRequest.field("--aim", f"{tried.aim!r} is not one of {', '.join(AIMS)}")
    asked = tuple(Settings(prompts=tried.prompts).prompts_of(crosses=False))
    every = cases(suite, told(tried.options, "--option"), with_suites())
    halves = suite_cases.halves(every, tried.items)
    named = f"{suite} ({', '.join(tried.options)})" if tried.options else suite
    guard = load()
    wanted = Wanted(named, tried.settings or SETTINGS, asked, tried.aim)
    made = calibrated_on_suite(guard, halves, wanted, out, refit=refit, force=force)
    report = out.with_suffix(".md")
    report.write_text(suite_report.markdown(made, guard.stamp), encoding="utf-8")
    for half in made.cases:
        _say(f"{half}: {made.counted(half)} of {named}")
    for note in made.notes:
        _say(note)
    _say(f"wrote {report}, with every number on dev and on test")


def _say(line: str) -> None:
    output().print(Text(printable(line)), soft_wrap=True)
