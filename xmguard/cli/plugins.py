"""`xmguard plugins`: what is installed, what each plugin provides, and how to put each policy to use."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from xmguard.cli.terminal import ABSENT, output, printable
from xmguard.plugins import ALLOW_LIST, installed_plugins, load_plugins


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    hashes: Annotated[
        bool,
        typer.Option(
            "--hashes", help=f"Print every installed plugin with the hash of its files, as {ALLOW_LIST} takes them."
        ),
    ] = False,
) -> None:
    """List every loaded plugin with its version and what it provides, and every policy with its parameters."""
    if hashes:
        for name, sha256 in installed_plugins().items():
            typer.echo(f"{name}@sha256:{sha256}" if sha256 else name)
        return
    registry = load_plugins()
    found = registry.plugins
    if as_json:
        typer.echo(json.dumps([asdict(plugin) for plugin in found], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("plugin", "version", "provides"):
        table.add_column(heading, overflow="fold")
    for plugin in found:
        cells = (plugin.name, plugin.version, "\n".join(plugin.provides) or ABSENT)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    output().print(table)
    policies = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    policies.add_column("policy", no_wrap=True)
    policies.add_column("does, and its parameters", overflow="fold")
    for policy in registry.policies:
        lines = [policy.summary, *(f"{name}: {meaning}" for name, meaning in policy.parameters.items())]
        policies.add_row(Text(printable(policy.name)), Text("\n  ".join(map(printable, lines))))
    output().print()
    output().print(policies)
