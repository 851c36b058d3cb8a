"""`xmguard models`: the models that plugins can put on this machine, and putting them there."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from xmguard.cli.terminal import output, printable, progress
from xmguard.contracts import ModelSource
from xmguard.errors import ModelNotFound
from xmguard.models.resolve import default_model, resolve
from xmguard.plugins import Registry, load_plugins
from xmguard.profile_reader import read_profile

app = typer.Typer(no_args_is_help=True, help="List and fetch models.")


@app.command("list")
def list_models() -> None:
    """List the models known by name, and where they are; marked is the one taken where none is named."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("model", "licence", "summary", "verdict", "folder"):
        table.add_column(heading, overflow="fold")
    registry = load_plugins()
    default = default_model(registry)
    for source in registry.models:
        path = source.path()
        folder = str(path) if path else "not pulled"
        name = f"{source.name} (default)" if source.name == default else source.name
        cells = (name, source.license, source.summary, _verdict(source, registry), folder)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    output().print(table)


def _verdict(source: ModelSource, registry: Registry) -> str:
    """What the model's profile says of its verdict; whether it fits is known when the model is loaded."""
    place = resolve(source.name, registry).profile if source.path() else source.profile
    profile = None if place is None else read_profile(place)
    fitted = None if profile is None else profile.verdict
    return "not calibrated" if fitted is None else f"calibrated for {fitted.fitted_for.dtype} on {fitted.fitted_on}"


@app.command("pull")
def pull(name: Annotated[str, typer.Argument(help="A name from `xmguard models list`.")]) -> None:
    """Fetch a model and convert it, unless it is there already; prints its folder."""
    registry = load_plugins()
    source = registry.models.get(name)
    if source is None:
        known = ", ".join(registry.models.names()) or "none"
        raise ModelNotFound(f"no model {name!r} can be pulled by name; known: {known}")
    with progress(f"pulling {name}") as step:
        folder = source.pull(progress=step)
    typer.echo(folder)


@app.command("hash")
def hash_model(
    name: Annotated[str, typer.Argument(help="A name from `xmguard models list`, a folder, or owner/name on the hub.")],
) -> None:
    """Print the SHA-256 of a model's files, for `xmguard serve --model-sha256`; they are not loaded."""
    typer.echo(resolve(name, load_plugins()).fingerprint)
