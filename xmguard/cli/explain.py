"""`xmguard explain`: an answer, and where in the model each source was used, layer by layer and head by head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from xmguard.cli import render, summary
from xmguard.cli.arrays import npz
from xmguard.cli.ask import Model, ProfileFile, RequestFile, read_request, show_response
from xmguard.cli.flags import refuse_unwritable, write_bytes
from xmguard.cli.terminal import errors, output, printable, progress
from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard.explanation import Explanation
from xmguard.loading import load_guard
from xmguard.models.resolve import default_model
from xmguard.plugins import load_plugins


def explain(
    file: RequestFile,
    model: Model = "",
    profile: ProfileFile = None,
    device: Annotated[str, typer.Option(help="Where the model runs, for example cpu or cuda:0.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 for half the memory.")] = "float32",
    npz_file: Annotated[
        str, typer.Option("--npz", metavar="FILE", help="Write the arrays to this file, replacing it.")
    ] = "",
    png_file: Annotated[
        str, typer.Option("--png", metavar="FILE", help="Draw them, layer by head, into this file, replacing it.")
    ] = "",
    layers: Annotated[bool, typer.Option("--layers", help="Also show every layer, not only the largest.")] = False,
) -> None:
    """Answer the question of a JSON file and show where in the model each source was used.

    Loads the model here and asks no server: what single heads did does not
    travel over the wire.

    --npz holds arrays by layer, head and segment: norms_before, norms_after
    (contribution without and with the bias, mean over the prompt's tokens
    after the last span), masses_before, masses_after (attention), epsilon
    (nats applied), toward_answer (nats of logit), and norms_generated,
    masses_generated, epsilon_generated over the answer's tokens. segments
    names the segments, (rest) and then the ids of the spans; tokens counts
    theirs. model, model_hash, dtype, policy and xmguard_version say what made
    the numbers. What was not measured is absent. Of the request only the ids
    of spans are written, and into the picture their languages; no text is.

    "Toward the answer" is what a source adds to the logits of the answer's
    tokens on the direct path only, before any soft cap: a proxy, not a cause.
    """
    request = read_request(file, model)
    render_png = _renderer() if png_file else None
    for flag, path in (("--npz", npz_file), ("--png", png_file)):
        if path:
            refuse_unwritable(flag, path)
    if npz_file and png_file and Path(npz_file).resolve() == Path(png_file).resolve():
        raise InvalidRequest.field("--png", f"{png_file} is the file of --npz; name another one")

    registry = load_plugins()
    name = request.model or default_model(registry)
    with progress(f"loading {name}") as step:
        guard = load_guard(name, device=device, dtype=dtype, profile=profile, registry=registry, progress=step)
        step("answering")
        # A loaded guard has only this one model, so the request no longer names it.
        put = replace(request, model="")
        explanation = guard.explain(put)

    show_response(explanation.response, put)
    console = output()
    console.print()
    console.print(summary.where_table(explanation))
    if layers:
        for table in summary.layers_tables(explanation):
            console.print()
            console.print(table)
    if explanation.directed is None:
        why = render.ending(explanation.response.finish_reason) or "the model said nothing"
        errors().print(Text(f"note: toward_answer is absent: {why}"), soft_wrap=True)
    if npz_file:
        _write("--npz", npz_file, npz(explanation))
    if render_png:
        _write("--png", png_file, render_png(explanation))


def _renderer() -> Callable[[Explanation], bytes]:
    try:
        from xmguard.cli.heatmap import png
    except ImportError as error:
        raise SetupIncomplete(
            f'--png needs a package that is not installed ({error}); run: pip install "xmguard[research]"'
        ) from error
    return png


def _write(flag: str, path: str, data: bytes) -> None:
    write_bytes(flag, path, data)
    output().print(Text(f"wrote {printable(path)}"), soft_wrap=True)
