"""The `xmguard calibrate` command. Imports nothing heavy until it is called."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from xmguard.cli.terminal import output, printable, progress
from xmguard.errors import SetupIncomplete
from xmguard.loading import DEFAULT_MODEL, load_guard


def calibrate(
    pairs: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="JSON lines with question, texts (two), label (conflict, consistent or undetermined), and optionally "
            "languages (two) and item (lines of one item are kept together when something is left out).",
        ),
    ],
    model: Annotated[
        str, typer.Option(help="A model's name (see `xmguard models list`) or a folder with safetensors weights.")
    ] = DEFAULT_MODEL,
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
) -> None:
    """Calibrate a model's verdict on your own labelled pairs, and write a profile.

    A fitted verdict keeps its weights and is put on a new scale (20 conflict
    and 20 consistent pairs at least); --refit, or a model without one, fits
    all weights (60 and 60). Undetermined pairs, of which a text says nothing
    about the question, are optional. Shows what the verdict was worth before
    and is worth after, on pairs that were left out each time. What was
    gathered stays beside --out, so that a run that was stopped goes on.
    """
    try:
        from xmguard_research.calibration import comparison, labelled
        from xmguard_research.calibration.calibrating import calibrated, refuse_existing
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[research]"') from error

    refuse_existing(out, force=force)
    read = labelled.read_pairs(pairs)
    with progress(f"loading {model}") as step:
        guard = load_guard(model, device=device, dtype=dtype, profile=profile, progress=step)
    made = calibrated(guard, read, labelled.description(pairs, read), out, refit=refit, force=force)

    console = output()
    labels = Counter(pair.label.value for pair in made.pairs)
    counts = ", ".join(f"{count} {label}" for label, count in labels.items())
    notes = (
        f"{len(made.pairs)} pairs of {pairs.name}: {counts}; {len({pair.item for pair in made.pairs})} items",
        f"before: {guard.describe().calibration}",
        *made.notes,
    )
    for note in notes:
        console.print(Text(printable(note)), soft_wrap=True)
    console.print()
    found = comparison.scores(made.pairs, made.before, made.after)
    console.print(comparison.table(found, made.pairs, made.before, made.after))
    console.print()
    console.print(Text(comparison.EXPLAINED, style="dim"))
    console.print(Text(comparison.conclusion(found), style="bold"))
    options = [("--model", model, DEFAULT_MODEL), ("--device", device, "cpu"), ("--dtype", dtype, "float32")]
    given = "".join(f" {flag} {value}" for flag, value, usual in options if value != usual)
    console.print(Text(printable(f"wrote {out}; next: xmguard serve{given} --profile {out}")), soft_wrap=True)
