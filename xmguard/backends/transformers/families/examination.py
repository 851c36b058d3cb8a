"""Judges a model folder: what speaks against steering it exactly, all at once, and what is particular about it.

Reads the configuration and file names only. The verdict says nothing of the weights themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from xmguard.backends import folder as files
from xmguard.backends.transformers.families.architectures import Architectures
from xmguard.backends.transformers.families.proven import PICTURES, PROVEN
from xmguard.parts import IMAGE, TEXT


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
    modalities: tuple[str, ...] = (TEXT,)
    """As `Backend.modalities`."""


def examine(folder: Path, architectures: Architectures = MappingProxyType({})) -> Examination:
    """Look at a model folder without loading a weight: under two seconds once transformers is imported.

    Args:
        folder: the model folder.
        architectures: those that plugins bring, by model type.

    Raises:
        ImportError: transformers or torch is not installed.
        PluginError: a plugin does not register the architecture that it brings.
    """
    # Here, so that the names of what is proven can be told where no engine is installed.
    from xmguard.backends.transformers.families import oddities, skeleton
    from xmguard.backends.transformers.families.particulars import particulars

    config, problem = files.read_json(folder / "config.json")
    unsafe = files.reasons(folder, config)
    if problem:
        return Examination((problem, *unsafe))
    kind = config.get("model_type")
    provider = architectures.get(kind) if isinstance(kind, str) else None
    model, problem = skeleton.build(folder, config, provider)
    if model is None:
        objections = [problem]
    else:
        try:
            objections = oddities.reasons(model)
        except Exception as error:  # a model laid out like no other can fail a probe in any way; it is then not let in
            objections = [f"its modules cannot be examined: {type(error).__name__}: {error}"]
    named = skeleton.architecture(config)
    if provider is not None:
        unproven = _unproven_language_model(model)
    elif isinstance(kind, str) and PICTURES.get(named) == kind:
        unproven = _unproven_language_model(model, own=f"{kind}_text")
    else:
        unproven = _unproven(named, kind, objections)
    found = [*unproven, *objections, *unsafe]
    if model is None or found:
        return Examination(tuple(found))
    return Examination((), particulars(model), (TEXT, IMAGE) if reads_pictures(model) else (TEXT,))


def reads_pictures(model: Any) -> bool:
    """Whether a model has a vision tower."""
    return model.config.get_text_config(decoder=True) is not model.config and hasattr(model, "get_image_features")


def _unproven_language_model(model: Any | None, own: str = "") -> list[str]:
    """The language model must be of a proven family, or of type `own`: the architecture's own, proven with it."""
    if model is None:
        return []
    text = model.config.get_text_config(decoder=True).model_type
    if text == own or text in PROVEN.values():
        return []
    return [f"its language model is of type {text}, which is not proven to be steered exactly"]


def _unproven(named: str, kind: object, objections: list[str]) -> list[str]:
    if kind is not None and PROVEN.get(named) == kind:
        return []
    reason = f"architecture {named} of model type {kind} is not proven to be steered exactly"
    if only := (PROVEN | PICTURES).get(named):
        return [f"{reason}, only of model type {only}"]
    if not objections:
        reason += ": no probe objects to it, but no test has shown it either"
    return [f"{reason}; proven: {', '.join([*PROVEN, *PICTURES])}"]
