"""Judges a model folder: what speaks against steering it exactly, all at once, and what is particular about it.

Reads the configuration and file names only. The verdict says nothing of the weights themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xmguard.backends.transformers.families import folder as files
from xmguard.backends.transformers.families.proven import PROVEN


@dataclass(frozen=True)
class Particular:
    """Something about a model that its measurements have to be read with; steering it stays exact."""

    name: str
    """The same for every model that has it."""
    detail: str
    """What it comes to in this one."""


@dataclass(frozen=True)
class Examination:
    """What a look at a model folder found."""

    reasons: tuple[str, ...]
    """Everything that stops exact steering; empty if nothing does."""
    particulars: tuple[Particular, ...] = ()


def examine(folder: Path) -> Examination:
    """Look at a model folder without loading a weight: under two seconds once transformers is imported.

    Raises:
        ImportError: transformers or torch is not installed.
    """
    # Here, so that the names of what is proven can be told where no engine is installed.
    from xmguard.backends.transformers.families import oddities, skeleton
    from xmguard.backends.transformers.families.particulars import particulars

    config, problem = files.read_json(folder / "config.json")
    unsafe = files.reasons(folder, config)
    if problem:
        return Examination((problem, *unsafe))
    model, problem = skeleton.build(folder, config)
    if model is None:
        objections = [problem]
    else:
        try:
            objections = oddities.reasons(model)
        except Exception as error:  # a model laid out like no other can fail a probe in any way; it is then not let in
            objections = [f"its modules cannot be examined: {type(error).__name__}: {error}"]
    found = [*_unproven(skeleton.architecture(config), config.get("model_type"), objections), *objections, *unsafe]
    return Examination(tuple(found), () if model is None or found else particulars(model))


def _unproven(named: str, kind: object, objections: list[str]) -> list[str]:
    if kind is not None and PROVEN.get(named) == kind:
        return []
    reason = f"architecture {named} of model type {kind} is not proven to be steered exactly"
    if named in PROVEN:
        return [f"{reason}, only of model type {PROVEN[named]}"]
    if not objections:
        reason += ": no probe objects to it, but no test has shown it either"
    return [f"{reason}; proven: {', '.join(PROVEN)}"]
