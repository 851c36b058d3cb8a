"""`xmguard mix evaluate`: what a checkpoint says of conflicts, what it reads, and what it still answers.

Heavy modules are imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from xmguard.cli.terminal import errors, output, printable, progress
from xmguard.errors import InvalidRequest
from xmguard_research.mixing.packages import needed

if TYPE_CHECKING:
    from xmguard_research.mixing.measures import Number
    from xmguard_research.mixing.posing import Wanted

LANGUAGES = "en-en,es-es,de-de,en-es,en-de"
MODALITIES = "text-text,image-image,text-image"


def evaluate(
    model: Annotated[str, typer.Argument(help="A checkpoint folder, or a name of `xmguard models list`.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="For responses and numbers; the same goes on there.")],
    suites: Annotated[str, typer.Option(help="Of clqa, cmqa, dev and dev-polar, with commas.")] = "clqa",
    variants: Annotated[
        str,
        typer.Option(help=f"With commas. Without it {LANGUAGES}; of cmqa {MODALITIES}.", show_default=False),
    ] = "",
    items: Annotated[int, typer.Option(min=0, help="Topics that conflicts and controls are made of.")] = 8,
    questions: Annotated[int, typer.Option(min=0, help="Topics of questions with one answer.")] = 16,
    prompts: Annotated[str, typer.Option(help="With commas.")] = "standard,instructed,explicit",
    size: Annotated[str, typer.Option(help="Of texts: short or long.")] = "short",
    kinds: Annotated[str, typer.Option(help="Of cmqa's scenes, with commas; without it all.")] = "",
    seed: Annotated[int | None, typer.Option(help="Of the suites' items; without it their own.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "bfloat16",
    device: Annotated[str, typer.Option(help="Where the model runs, for example cpu or cuda:0.")] = "cpu",
    write: Annotated[bool, typer.Option("--write", help="Put the numbers into the checkpoint's xmguard.json.")] = False,
) -> None:
    """Measure a checkpoint: conflicts reported, imbalance, and accuracy.

    Every conflict and its control is read in both orders under every prompt,
    and what the model says is judged by rules; there is no verdict. Questions
    with one answer are put over one source, and over two that are about
    different things. Writes responses.jsonl, summary.json and summary.csv.
    After a kill, the same command asks only what is missing.

    Choose between checkpoints by dev, and measure the chosen one by clqa:
    dev is told as clqa is, from texts that neither training nor clqa has.
    dev-polar asks the sources of dev whether a value is the one: yes or no.
    """
    with needed():
        wanted = wants(
            suites, variants, items=items, questions=questions, prompts=prompts, size=size, kinds=kinds, seed=seed
        )
        from xmguard.loading import load_guard
        from xmguard.plugins import load_plugins
        from xmguard_research.mixing import measures, tables
        from xmguard_research.mixing.evaluating import evaluate as evaluated
        from xmguard_research.mixing.evaluating import made_by, stamped
        from xmguard_research.mixing.posing import posed
        from xmguard_research.mixing.processor import emulation

        registry = load_plugins()
        folder = Path(model)
        # A model's name is taken before a folder's, and its numbers are none of the folder's.
        source = folder if folder.is_dir() and model not in registry.models.names() else None
        if write and source is None:
            raise InvalidRequest.field(
                "--write", f"{model!r} is no folder, so it has no card to write into; give one, such as ./run/model"
            )
        if write and source is not None:
            tables.read_card(source)  # a folder without a card is refused now, and not after hours
        if dtype == "bfloat16" and device.startswith("cpu") and (slow := emulation("--dtype float32")):
            _say(slow)
        every = [one for suite in wanted for one in posed(suite)]
        with progress(f"loading {model}") as step:
            guard = load_guard(model, device=device, dtype=dtype, registry=registry, progress=step)
        try:
            rows = evaluated(guard, every, out)
        except typer.BadParameter as error:
            raise InvalidRequest.field("--out", f"{error.message}, since this is {made_by(guard)}") from error
        numbers = measures.of_checkpoint(rows)
        measured = stamped(guard)
        tables.write(out, numbers, {"model": model, **measured})
        settings = {one.suite: one.setting for one in wanted}
        gone = tables.write_card(source, numbers, measured, settings) if write and source is not None else 0
        _show(numbers, out)
        if gone:
            _say(
                f"{gone} rows of the card are gone: of other weights, another dtype, version or --size, or it is not "
                "known of what"
            )


def wants(
    suites: str,
    variants: str,
    *,
    items: int,
    questions: int,
    prompts: str,
    size: str,
    kinds: str,
    seed: int | None,
) -> list[Wanted]:
    """What is asked of every suite; a variant goes to the suite that has it.

    Raises:
        InvalidRequest: a suite, a variant or a prompt is not known, or nothing is asked.
    """
    from xmguard_research.benchmarks.cmqa.items import VARIANTS
    from xmguard_research.benchmarks.settings import listed
    from xmguard_research.mixing.posing import CMQA, OF_LANGUAGES, SUITES, Wanted

    named = listed(variants)
    of_modalities = [one for one in named if one in VARIANTS]
    of_languages = [one for one in named if one not in VARIANTS]
    given = dict.fromkeys(OF_LANGUAGES, of_languages or ([] if named else listed(LANGUAGES)))
    given[CMQA] = of_modalities or listed(MODALITIES)
    chosen = list(dict.fromkeys(listed(suites)))
    if not chosen:
        raise InvalidRequest.field("--suites", f"names none; give some of {', '.join(SUITES)}")
    if of_modalities and CMQA not in chosen:
        raise InvalidRequest.field("--variants", f"{of_modalities[0]!r} is of cmqa, which --suites does not name")
    if of_languages and not set(OF_LANGUAGES) & set(chosen):
        suited = " and ".join(OF_LANGUAGES)
        raise InvalidRequest.field("--variants", f"{of_languages[0]!r} is of {suited}, which --suites does not name")
    return [
        Wanted(
            suite,
            tuple(given.get(suite, ())),
            items,
            questions,
            tuple(listed(prompts)),
            size=size,
            kinds=tuple(listed(kinds)),
            seed=seed,
        )
        for suite in chosen
    ]


def _say(line: str) -> None:
    errors().print(Text(printable(line)), soft_wrap=True)


def _show(numbers: list[Number], out: Path) -> None:
    from xmguard_research.mixing import quantities, tables

    console = output()
    conflicts = (
        quantities.DETECTION,
        quantities.FALSE_ALARMS,
        quantities.BALANCED,
        quantities.LOG_RATIO,
        quantities.LOG_RATIO_PER_TOKEN,
    )
    asked = [
        tables.of_checkpoint(numbers, conflicts, conflicts=True),
        tables.of_checkpoint(numbers, quantities.ACCURACIES, conflicts=False),
    ]
    parts = [*(tables.markdown(table) for table in asked if len(table) > 1), f"wrote {out}"]
    console.print(Text(printable("\n\n".join(parts))), soft_wrap=True)
