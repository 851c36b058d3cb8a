"""A suite by its name: the task of inspect_ai that a `BenchmarkProvider` names, and its cases. Knows none of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, get_args

from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser

from xmguard import load_plugins
from xmguard.errors import FieldViolation, InvalidRequest, PluginError
from xmguard.plugins import Registry
from xmguard.providers import BenchmarkProvider
from xmguard_research.benchmarks import builtin
from xmguard_research.benchmarks.asking import request_of
from xmguard_research.benchmarks.cases import Case

_ONCE = ("prompts", "standard")
"""The option that gives every case once, where a suite asks under several prompts."""


def with_suites() -> Registry:
    """Everything installed, and the suites of this package.

    Raises:
        PluginError: a plugin does not load.
    """
    return load_plugins({"builtin-suites": builtin})


def named(name: str, registry: Registry) -> BenchmarkProvider:
    """The suite of a name.

    Raises:
        InvalidRequest: there is none.
    """
    provider: BenchmarkProvider | None = registry.benchmarks.get(name)
    if provider is None:
        raise InvalidRequest.field("suite", f"there is no {name!r}; there are {', '.join(registry.benchmarks.names())}")
    return provider


def loaded(provider: BenchmarkProvider) -> Callable[..., Task]:
    """The function that makes the task.

    Raises:
        PluginError: what the plugin names does not exist.
    """
    module, _, function = provider.target.partition(":")
    try:
        made: Callable[..., Task] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"suite {provider.name!r}: {provider.target} does not load: {error}") from error
    return made


def options(made: Callable[..., Task]) -> Mapping[str, Parameter]:
    """What a suite can be told, by name."""
    return signature(made).parameters


def told(words: Sequence[str] | None, field: str = "option") -> dict[str, str]:
    """Options of a command line, `NAME=VALUE` each.

    Raises:
        InvalidRequest: one is not.
    """
    found = {}
    for word in words or ():
        name, separator, value = word.partition("=")
        if not separator:
            raise InvalidRequest.field(field, f"{word!r} is not NAME=VALUE")
        found[name] = value
    return found


def make(name: str, given: Mapping[str, Any], registry: Registry) -> Task:
    """The task of a name.

    Raises:
        InvalidRequest: no suite has it, or it does not know an option, or refuses its value.
        PluginError: what its plugin names does not exist.
    """
    made = loaded(named(name, registry))
    known = options(made)
    if unknown := [key for key in given if key not in known]:
        raise InvalidRequest(
            [FieldViolation(key, f"suite {name} has no such option; it has {', '.join(known)}") for key in unknown]
        )
    return made(**{key: _as(known[key], value) for key, value in given.items()})


def cases(name: str, given: Mapping[str, Any], registry: Registry) -> list[Case]:
    """The cases of a suite of conflicts, each of them once; for whoever asks in ways of their own.

    Raises:
        InvalidRequest: there is no such suite or option, or its samples do not tell conflicts from controls.
        PluginError: what its plugin names does not exist.
    """
    once = {_ONCE[0]: _ONCE[1]} if _ONCE[0] in options(loaded(named(name, registry))) else {}
    if twice := once.keys() & given.keys():
        raise InvalidRequest.field(min(twice), "is not for the suite here: every case is taken once")
    return [_case(name, sample) for sample in make(name, {**given, **once}, registry).dataset]


def _case(suite: str, sample: Sample) -> Case:
    last, about = sample.input[-1], sample.metadata or {}
    request = request_of(last) if isinstance(last, ChatMessageUser) else None
    if request is None or about.get("conflict") is None or not {"item", "variant", "answers"} <= about.keys():
        raise InvalidRequest.field("suite", f"{suite} does not tell conflicts from controls; choose another suite")
    return Case(
        str(sample.id).removesuffix(f"/{_ONCE[1]}"),
        about["item"],
        about["variant"],
        request.question,
        request.spans,
        about["conflict"],
        tuple(about["answers"]),
    )


def _as(parameter: Parameter, value: Any) -> Any:
    """Words of a command line as what the option is annotated with."""
    kinds = [kind for kind in (int, float) if kind in (parameter.annotation, *get_args(parameter.annotation))]
    if not isinstance(value, str) or not kinds:
        return value
    try:
        return kinds[0](value)
    except ValueError:
        raise InvalidRequest.field(parameter.name, f"{value!r} is not {kinds[0].__name__}") from None
