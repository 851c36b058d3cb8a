"""From a model's name or folder to a guard: plugins, engine, weights. The one place that puts them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from xmguard.calibration import ProbeSource
from xmguard.contracts import Backend, Observer
from xmguard.errors import ModelRefused, SetupIncomplete
from xmguard.guard import Guard
from xmguard.models.resolve import ResolvedModel, default_model, resolve
from xmguard.plugins import Registry, load_plugins
from xmguard.profile_reader import read_profile

DEFAULT_ENGINE = "transformers"


def load_guard(
    model: str = "",
    *,
    device: str = "cpu",
    dtype: str = "float32",
    observers: Sequence[Observer] = (),
    registry: Registry | None = None,
    profile: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Guard:
    """Load a model and everything around it.

    Args:
        model: a name of `xmguard models list`, a folder, or a hub name; empty is `default_model`.
        device: a torch device.
        dtype: `float32` or `bfloat16`.
        observers: see every finished request, beside those that plugins bring.
        registry: plugins that are loaded already; None loads them.
        profile: a profile's file or folder, in place of the one that comes with the model.
        progress: told each step in words.

    Raises:
        PluginError: a plugin cannot be used.
        ModelNotFound: no such model here.
        ModelRefused: it cannot be loaded safely or read exactly, or its profile is no good, with every reason.
        SetupIncomplete: the engine is not installed.
    """
    tell = progress or (lambda step: None)
    tell("loading plugins")
    plugins = registry or load_plugins()
    found = resolve(model or default_model(plugins), plugins)
    chosen = read_profile(profile or found.profile)
    if profile is not None and chosen is None:
        raise ModelRefused(str(profile), ["is not there, or holds no profile; xmguard calibrate writes one"])
    probe = None if chosen is None or chosen.verdict is None else chosen.verdict.probe
    tell(f"starting the {DEFAULT_ENGINE} engine")
    backend = _load_backend(plugins, found, device, dtype, probe, tell)
    return Guard(backend, plugins, model=found.name, profile=chosen, observers=observers)


def _load_backend(
    registry: Registry,
    found: ResolvedModel,
    device: str,
    dtype: str,
    probe: ProbeSource | None,
    tell: Callable[[str], None],
) -> Backend:
    provider = registry.backends.items[DEFAULT_ENGINE]
    module, function = provider.target.split(":")
    try:
        load = getattr(import_module(module), function)
    except ImportError as error:
        if _interrupted(error):
            raise KeyboardInterrupt from error
        raise SetupIncomplete(
            f"engine {provider.name!r} needs a package that is not installed ({error}); "
            f'run: pip install "{provider.requires}"'
        ) from error
    backend: Backend = load(
        found.path,
        registry=registry,
        device=device,
        dtype=dtype,
        probe=probe,
        adapters=found.adapters,
        progress=tell,
    )
    return backend


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: transformers imports lazily and turns whatever happens there into an ImportError."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
