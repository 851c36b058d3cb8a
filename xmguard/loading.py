"""From a model's name or folder to a guard: plugins, engine, weights. The one place that puts them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from xmguard.contracts import Backend, Observer
from xmguard.errors import InvalidRequest, ModelRefused, SetupIncomplete
from xmguard.fingerprints import checked
from xmguard.guard import Guard
from xmguard.models.checkpoint import AdapterSource
from xmguard.models.resolve import ResolvedModel, default_model, resolve
from xmguard.plugins import Registry, load_plugins
from xmguard.profile_reader import read_profile
from xmguard.providers import BackendProvider

DEFAULT_ENGINE = "transformers"


def load_guard(
    model: str = "",
    *,
    engine: str = DEFAULT_ENGINE,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    observers: Sequence[Observer] = (),
    registry: Registry | None = None,
    profile: Path | None = None,
    sha256: str = "",
    progress: Callable[[str], None] | None = None,
) -> Guard:
    """Load a model and everything around it.

    Args:
        model: a name of `xmguard models list`, a folder, or a hub name; empty is `default_model`. A remote engine's
            own name for it, as it is.
        engine: a backend that `xmguard plugins` lists.
        options: the engine's own, by name; one it does not have is refused.
        device: a torch device.
        dtype: `float32` or `bfloat16`.
        observers: see every finished request, beside those that plugins bring.
        registry: plugins that are loaded already; None loads them.
        profile: a profile's file or folder, in place of the one that comes with the model.
        sha256: what the model's files must hash to, as `xmguard models hash` prints it; empty takes any.
        progress: told each step in words.

    Raises:
        InvalidRequest: no such engine, device, dtype or option, or a hash that is none.
        PluginError: a plugin cannot be used.
        ModelNotFound: no such model here.
        ModelRefused: it cannot be loaded safely or read exactly, or its profile is no good, with every reason.
        SetupIncomplete: the engine is not installed.
    """
    tell = progress or (lambda step: None)
    tell("loading plugins")
    plugins = registry or load_plugins()
    provider = plugins.backends.get(engine)
    if provider is None:
        raise InvalidRequest.field("engine", f"is {engine!r}; one of {', '.join(plugins.backends.names())}")
    place: Path | str = model
    adapters: Sequence[AdapterSource] = ()
    name, own = model, None
    if provider.remote and sha256:
        raise InvalidRequest.field("sha256", f"the {engine} engine's model is elsewhere, so its files cannot be hashed")
    if not provider.remote:
        found = resolve(model or default_model(plugins), plugins)
        if sha256:
            tell("hashing the model's files")
            _require(found, checked(sha256, "sha256"))
        place, name, adapters, own = found.path, found.name, found.adapters, found.profile
    known = profile or own
    chosen = None if known is None else read_profile(known)
    if profile is not None and chosen is None:
        raise ModelRefused(str(profile), ["is not there, or holds no profile; xmguard calibrate writes one"])
    probe = None if chosen is None or chosen.verdict is None else chosen.verdict.probe
    tell(f"starting the {engine} engine")
    backend: Backend = _loader(provider)(
        place,
        registry=plugins,
        device=device,
        dtype=dtype,
        probe=probe,
        adapters=adapters,
        options=options,
        progress=tell,
    )
    try:
        return Guard(backend, plugins, model=name, profile=chosen, observers=observers)
    except BaseException:
        backend.close()
        raise


def _require(found: ResolvedModel, sha256: str) -> None:
    if (own := found.fingerprint) != sha256:
        differs = f"its files hash to {own}, and {sha256} is asked for; something in {found.path} is another"
        raise ModelRefused(found.name, [differs])


def _loader(provider: BackendProvider) -> Callable[..., Backend]:
    module, function = provider.target.split(":")
    try:
        load: Callable[..., Backend] = getattr(import_module(module), function)
    except ImportError as error:
        if _interrupted(error):
            raise KeyboardInterrupt from error
        raise SetupIncomplete(
            f"engine {provider.name!r} needs a package that is not installed ({error}); "
            + (provider.installing or f'run: pip install "{provider.requires}"')
        ) from error
    return load


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: transformers imports lazily and turns whatever happens there into an ImportError."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
