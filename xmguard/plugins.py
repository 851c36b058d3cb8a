"""Finds plugins, loads them, and keeps what they provide by name together with who provided it.

Strict on purpose: a safety checker with a part missing must not start. A plugin that does not import or provides
nothing, a hook that does not exist, a wrong argument, or two plugins claiming one name or media type stop start-up and
name the culprit. Knows nothing of what the provided objects do.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy

from xmguard import __version__, hookspecs
from xmguard.contracts import (
    EvidenceFeature,
    Language,
    Modality,
    ModelSource,
    Observer,
    RebalancePolicy,
    VerdictEstimator,
)
from xmguard.errors import PluginError
from xmguard.fingerprints import checked, of_package
from xmguard.providers import ArchitectureProvider, BackendProvider, BenchmarkProvider, JudgeProvider
from xmguard.response import PluginInfo

ALLOW_LIST = "XMGUARD_PLUGINS"
"""Environment variable: comma-separated entry-point names that may load; unset means all, empty means none.

`name@sha256:HASH` is the plugin only as long as its package's files hash to that; `plugin_hash` tells what they do.
"""

BUILT_INS: Mapping[str, str] = {
    "builtin-backends": "xmguard.backends",
    "builtin-languages": "xmguard.languages",
    "builtin-modalities": "xmguard.modalities",
    "builtin-models": "xmguard.models",
    "builtin-rebalance": "xmguard.rebalance",
    "builtin-verdict": "xmguard.verdict",
}
"""Built-in plugins: name to module. They register exactly as a third party's module does."""

T = TypeVar("T")


@dataclass(frozen=True)
class Named(Generic[T]):
    """A mapping of unique names to provided objects that can say what there is when something is not."""

    kind: str
    """Singular noun for messages, for example `policy`."""
    items: Mapping[str, T]
    owners: Mapping[str, str]

    def get(self, name: str) -> T | None:
        """The object, or None."""
        return self.items.get(name)

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.items))

    def __iter__(self) -> Iterator[T]:
        return iter(self.items[name] for name in self.names())

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Registry:
    """Everything the loaded plugins provide. Built once at start-up by `load_plugins`; immutable afterwards."""

    plugins: tuple[PluginInfo, ...]
    modalities: Named[Modality]
    languages: Named[Language]
    backends: Named[BackendProvider]
    architectures: Named[ArchitectureProvider]
    models: Named[ModelSource]
    policies: Named[RebalancePolicy]
    evidence_features: Named[EvidenceFeature]
    verdict_estimators: Named[VerdictEstimator]
    observers: Named[Observer]
    judges: Named[JudgeProvider]
    benchmarks: Named[BenchmarkProvider]
    _manager: pluggy.PluginManager = field(repr=False, compare=False)

    def detect_language(self, text: str) -> str | None:
        """BCP-47 tag of a text, from the first plugin that recognises it; None when none does."""
        tag: str | None = self._manager.hook.xmguard_detect_language(text=text)
        return tag

    def language(self, tag: str) -> Language | None:
        """The plugin for a BCP-47 tag: `pt-BR` falls back to `pt`."""
        tag = tag.lower()
        return self.languages.get(tag) or self.languages.get(tag.split("-")[0])


def installed_plugins() -> Mapping[str, str]:
    """The hash of every installed plugin by name, allowed or not; empty where it has none. None is imported."""
    hashes = {}
    for entry in entry_points(group=hookspecs.PROJECT):
        try:
            hashes[entry.name] = plugin_hash(entry)
        except PluginError:
            hashes[entry.name] = ""
    return dict(sorted(hashes.items()))


def load_plugins(extra: Mapping[str, object] | None = None) -> Registry:
    """Load the built-ins and every allowed plugin of the entry-point group `xmguard`.

    `extra` registers modules or objects directly under the given names, for embedding and for tests.

    Raises:
        PluginError: naming the plugin and what is wrong with it.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    versions: dict[str, str] = {}
    for name, module in BUILT_INS.items():
        _register(manager, importlib.import_module(module), name)
        versions[name] = __version__
    for entry in _allowed_entry_points():
        _register(manager, _load(entry), entry.name)
        versions[entry.name] = entry.dist.version if entry.dist else "unknown"
    for name, plugin in (extra or {}).items():
        _register(manager, plugin, name)
        versions[name] = str(getattr(plugin, "__version__", "unversioned"))
    return _collect(manager, versions)


def _allowed_entry_points() -> list[EntryPoint]:
    found = sorted(entry_points(group=hookspecs.PROJECT), key=lambda entry: entry.name)
    setting = os.environ.get(ALLOW_LIST)
    if setting is None:
        return found
    allowed: dict[str, str] = {}
    for item in filter(None, map(str.strip, setting.split(","))):
        name, pinned, sha256 = item.partition("@")
        allowed[name] = checked(sha256, f"{ALLOW_LIST}, {name}") if pinned else ""
    missing = allowed.keys() - {entry.name for entry in found} - set(BUILT_INS)
    if missing:
        raise PluginError(
            f"{ALLOW_LIST} names plugins that are not installed: {', '.join(sorted(missing))}; "
            f"installed: {', '.join(entry.name for entry in found) or 'none'}"
        )
    taken = [entry for entry in found if entry.name in allowed]
    for entry in taken:
        if allowed[entry.name] and (own := plugin_hash(entry)) != allowed[entry.name]:
            raise PluginError(
                f"plugin {entry.name!r} ({entry.value}) hashes to {own}, and {ALLOW_LIST} asks for "
                f"{allowed[entry.name]}; it was changed, or another one is installed"
            )
    return taken


def plugin_hash(entry: EntryPoint) -> str:
    """SHA-256 of the top-level package that a plugin comes from; nothing of it is imported.

    Raises:
        PluginError: it is no package that lies in a folder.
    """
    top = entry.module.partition(".")[0]
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        found = None
    places = list(found.submodule_search_locations or ()) if found else []
    if len(places) != 1:
        raise PluginError(f"plugin {entry.name!r}: {top} is no package in one folder, so it cannot be hashed")
    return of_package(Path(places[0]))


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    # A plugin may raise anything while it is imported, SystemExit included; whatever it is, start-up stops and says
    # whose it was.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {entry.name!r} ({entry.value}) does not load: {type(error).__name__}: {error}; "
            f"fix or uninstall it, or leave it out of {ALLOW_LIST}"
        ) from error


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    _check_hooks(manager, plugin, name)
    try:
        manager.register(plugin, name=name)
    except (ValueError, pluggy.PluginValidationError) as error:
        raise PluginError(f"plugin {name!r} cannot be registered: {' '.join(str(error).split())}") from error


def _check_hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Refuse a plugin without hooks, with a hook of another name or another argument, or one that is not marked."""
    declared = {hook: spec for hook, spec in vars(hookspecs).items() if hook.startswith(f"{hookspecs.PROJECT}_")}
    marked = False
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            if attribute in declared:
                raise PluginError(f"plugin {name!r}: {attribute} is not marked @hookimpl, so nothing would call it")
            continue
        marked = True
        hook = options.get("specname") or attribute
        if hook not in declared:
            if options.get("optionalhook"):
                continue
            nearest = "".join(f"; did you mean {near!r}" for near in difflib.get_close_matches(hook, declared, n=1))
            known = ", ".join(sorted(declared))
            raise PluginError(f"plugin {name!r} implements an unknown hook {hook!r}{nearest}; known: {known}")
        takes = inspect.signature(declared[hook]).parameters
        asked = inspect.signature(getattr(plugin, attribute)).parameters
        extra = [each for each, found in asked.items() if each not in takes and found.default is found.empty]
        if extra:
            known = f"({', '.join(takes)})" if takes else "no arguments"
            raise PluginError(
                f"plugin {name!r} cannot be registered: {hook} asks for {', '.join(extra)}; it takes {known}"
            )
    if not marked:
        raise PluginError(f"plugin {name!r} provides nothing: no function is marked @hookimpl of xmguard.hookspecs")


def _collect(manager: pluggy.PluginManager, versions: Mapping[str, str]) -> Registry:
    provides: dict[str, list[str]] = {name: [] for name in versions}

    def gather(hook: str, kind: str, contract: type, key: str = "name") -> Named[Any]:
        items: dict[str, Any] = {}
        owners: dict[str, str] = {}
        for owner, item in _results(manager, hook):
            if inspect.isclass(item):
                called = item.__name__
                raise PluginError(f"plugin {owner!r}: {hook} returned the class {called}; return an object: {called}()")
            name = getattr(item, key, None)
            if not isinstance(name, str) or not name:
                raise PluginError(f"plugin {owner!r}: {hook} returned {item!r}, which has no {key}")
            if not isinstance(item, contract):
                lacks = ", ".join(member for member in _members(contract) if not hasattr(item, member)) or "its type"
                raise PluginError(f"plugin {owner!r}: {kind} {name!r} is no {contract.__name__}; it lacks {lacks}")
            name = name.lower() if key == "tag" else name  # BCP-47 tags are compared without case
            if name in items:
                raise PluginError(f"{kind} {name!r} is provided twice: by plugin {owners[name]!r} and by {owner!r}")
            items[name], owners[name] = item, owner
            provides[owner].append(f"{kind}:{name}")
        return Named(kind, items, owners)

    collected = {
        "modalities": gather("xmguard_modalities", "modality", Modality),
        "languages": gather("xmguard_languages", "language", Language, key="tag"),
        "backends": gather("xmguard_backends", "backend", BackendProvider),
        "architectures": gather("xmguard_architectures", "architecture", ArchitectureProvider, key="model_type"),
        "models": gather("xmguard_models", "model", ModelSource),
        "policies": gather("xmguard_policies", "policy", RebalancePolicy),
        "evidence_features": gather("xmguard_evidence_features", "evidence-feature", EvidenceFeature),
        "verdict_estimators": gather("xmguard_verdict_estimators", "verdict-estimator", VerdictEstimator),
        "observers": gather("xmguard_observers", "observer", Observer),
        "judges": gather("xmguard_judges", "judge", JudgeProvider),
        "benchmarks": gather("xmguard_benchmarks", "benchmark", BenchmarkProvider),
    }
    _check_media_types(collected["modalities"])
    for impl in manager.hook.xmguard_detect_language.get_hookimpls():
        provides[impl.plugin_name].append("language-detection")
    plugins = tuple(PluginInfo(name, versions[name], tuple(sorted(provides[name]))) for name in sorted(versions))
    return Registry(plugins=plugins, _manager=manager, **collected)


def _check_media_types(modalities: Named[Modality]) -> None:
    """Refuse two modalities that take one media type: a span of it must be read in one way."""
    taken: dict[str, str] = {}
    for modality in modalities:
        owner = f"modality {modality.name!r} of plugin {modalities.owners[modality.name]!r}"
        types: object = modality.media_types  # whatever a plugin gave
        if isinstance(types, str):
            raise PluginError(f"{owner}: media_types is a string; make it a tuple: ({types!r},)")
        for media_type in modality.media_types:
            if media_type in taken:
                raise PluginError(f"media type {media_type!r} is taken twice: by {taken[media_type]} and by {owner}")
            taken[media_type] = owner


def _members(contract: type) -> list[str]:
    """Public attributes and methods that a contract names."""
    named = {*vars(contract), *getattr(contract, "__annotations__", {})}
    return sorted(name for name in named if not name.startswith("_"))


def _results(manager: pluggy.PluginManager, hook: str) -> Iterable[tuple[str, object]]:
    """Owner and object for everything a hook returns; calls each implementation itself so that the owner is known."""
    for impl in getattr(manager.hook, hook).get_hookimpls():
        try:
            given = impl.function()
            items = list(given) if isinstance(given, Iterable) else None
        except Exception as error:  # a plugin may raise anything; start-up stops and names it
            raise PluginError(f"plugin {impl.plugin_name!r}: {hook} failed: {type(error).__name__}: {error}") from error
        if items is None:
            raise PluginError(f"plugin {impl.plugin_name!r}: {hook} returned {given!r}; return a list of objects")
        for item in items:
            yield impl.plugin_name, item
