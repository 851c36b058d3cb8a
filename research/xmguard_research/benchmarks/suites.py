"""A suite by its name: the task of inspect_ai that a `BenchmarkProvider` names. Knows none of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from inspect_ai import Task

from xmguard import load_plugins
from xmguard.errors import FieldViolation, InvalidRequest, PluginError
from xmguard.plugins import Registry
from xmguard.providers import BenchmarkProvider
from xmguard_research.benchmarks import builtin


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


def make(name: str, told: Mapping[str, Any], registry: Registry) -> Task:
    """The task of a name.

    Raises:
        InvalidRequest: no suite has it, or it does not know an option, or refuses its value.
        PluginError: what its plugin names does not exist.
    """
    made = loaded(named(name, registry))
    known = options(made)
    if unknown := [key for key in told if key not in known]:
        raise InvalidRequest(
            [FieldViolation(key, f"suite {name} has no such option; it has {', '.join(known)}") for key in unknown]
        )
    return made(**{key: _as(known[key], value) for key, value in told.items()})


def _as(parameter: Parameter, value: Any) -> Any:
    """Words of a command line as a number where the option's default is one."""
    wanted = type(parameter.default)
    if not isinstance(value, str) or wanted not in (int, float):
        return value
    try:
        return wanted(value)
    except ValueError:
        raise InvalidRequest.field(parameter.name, f"{value!r} is not {wanted.__name__}") from None
