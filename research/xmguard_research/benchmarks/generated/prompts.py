"""What the writing model is told: templates in a TOML file, ours or the user's. Knows no endpoint."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Formatter

from xmguard.errors import InvalidRequest

PLACES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "clqa": {
        "topics": frozenset(("count", "known")),
        "paragraph": frozenset(("topic",)),
        "contradiction": frozenset(("paragraph", "question", "answer", "language")),
        "translation": frozenset(("paragraph", "question", "quote", "language")),
    },
    "cmqa": {
        "description": frozenset(("question", "answer")),
        "contradiction": frozenset(("description", "question", "answer")),
        "wording": frozenset(("description", "question", "quote")),
        "picture": frozenset(("description", "question", "answer")),
    },
}
"""By protocol: what each template has to name, and nothing else."""


@dataclass(frozen=True)
class Prompts:
    """One template for every step of a protocol."""

    templates: Mapping[str, str]

    def fill(self, step: str, **values: str) -> str:
        """The prompt of a step; braces in the values stay as they are."""
        return self.templates[step].format(**values).strip()


def load(protocol: str, path: Path | None = None) -> Prompts:
    """The templates of a file; those of the package if there is none. `protocol` is one of `PLACES`.

    Raises:
        InvalidRequest: the file cannot be read, or a template is missing, unknown, or does not name its places.
    """
    places = PLACES[protocol]
    try:
        text = (
            (files("xmguard_research.benchmarks.generated") / f"{protocol}.toml").read_text(encoding="utf-8")
            if path is None
            else path.read_text(encoding="utf-8")
        )
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest.field("prompts", f"{path} cannot be read: {error}") from error
    if found.keys() != places.keys():
        raise InvalidRequest.field("prompts", f"{path} has {', '.join(found)}; it must have {', '.join(places)}")
    for step, template in found.items():
        try:
            named = {str(name) for _, name, _, _ in Formatter().parse(template) if name is not None}
        except (TypeError, ValueError) as error:
            raise InvalidRequest.field("prompts", f"{step}: {error}; double every brace that is no place") from error
        if named != places[step]:
            needed = ", ".join(f"{{{name}}}" for name in sorted(places[step]))
            raise InvalidRequest.field("prompts", f"{step} names {sorted(named)}; it must name {needed}")
    return Prompts(found)
