"""What a judge is told when it is made, and how one is made by its name.

Judges come through the hook `xmguard_judges`, ours as well. Knows none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from xmguard import load_plugins
from xmguard.errors import FieldViolation, InvalidRequest, PluginError
from xmguard.plugins import Registry
from xmguard_research.judge import builtin
from xmguard_research.judge.values import Judge


@dataclass(frozen=True)
class JudgeSettings:
    """Given to the function that a `JudgeProvider` names. A judge refuses what it has no use for."""

    base_url: str = ""
    """Of an OpenAI-compatible endpoint, for example `http://localhost:8000/v1`."""
    model: str = ""
    """As the endpoint names it."""
    judge_file: Path | None = None
    """Template of the prompt in place of the built-in one."""
    timeout: float | None = None
    """Seconds without a byte from the endpoint after which one attempt is given up; None is the judge's own."""
    retries: int | None = None
    """Further attempts after a failed one, and after a malformed reply; None is the judge's own."""
    request: Mapping[str, Any] | None = None
    """Fields of the request beside model and messages, for example `{"max_tokens": 2000}`; None is the judge's own."""

    def only(self, judge: str, names: Collection[str] = ()) -> None:
        """Refuse every setting but these.

        Raises:
            InvalidRequest: some other is given; all of them are listed.
        """
        unset = JudgeSettings()
        useless = [one.name for one in fields(self) if getattr(self, one.name) != getattr(unset, one.name)]
        wrong = [FieldViolation(name, f"judge {judge!r} has no use for it") for name in useless if name not in names]
        if wrong:
            raise InvalidRequest(wrong)


def with_judges() -> Registry:
    """Everything installed, and the judges of this package.

    Raises:
        PluginError: a plugin does not load.
    """
    return load_plugins({"builtin-judges": builtin})


def make(name: str, settings: JudgeSettings, registry: Registry) -> Judge:
    """The judge of a name.

    Raises:
        InvalidRequest: no judge has it, or the settings do not fit.
        SetupIncomplete: the judge needs a package that is not installed.
        PluginError: what its plugin names does not exist.
    """
    provider = registry.judges.get(name)
    if provider is None:
        raise InvalidRequest.field("judge", f"there is no {name!r}; there are {', '.join(registry.judges.names())}")
    module, _, function = provider.target.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"judge {name!r}: {provider.target} does not load: {error}") from error
    judge: Judge = made(settings)
    return judge
