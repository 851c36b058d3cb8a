"""`xmguard mix export`: a checkpoint as a model folder for other engines. Imports nothing heavy until it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from xmguard.cli.terminal import output, printable, progress
from xmguard_research.mixing.packages import needed


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A checkpoint folder, such as RUN/model.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the merged model goes.")],
    dtype: Annotated[str, typer.Option(help="Of the weights: float32 or bfloat16.")] = "float32",
) -> None:
    """Merge a checkpoint's adapter into its base, as plain safetensors.

    vLLM and others load the folder. An adapter that acts on the answer alone
    cannot be merged.
    """
    with needed():
        from xmguard_research.mixing.command_train import hush
        from xmguard_research.mixing.exporting import export as write

        hush()
        with progress(f"exporting {model}") as step:
            write(model, out, dtype=dtype, tell=step)
    output().print(Text(printable(f"wrote {out}")), soft_wrap=True)
