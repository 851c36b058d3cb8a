"""Finds plugins, loads them, and keeps what they provide by name together with who provided it.

Strict on purpose: a safety checker with a part missing must not start. A plugin that does not import, a hook that
does not exist, a wrong argument, or two plugins claiming one name stop start-up and name the culprit. Knows nothing
of what the provided objects do.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
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
from xmguard.providers import ArchitectureProvider, BackendProvider, BenchmarkProvider, JudgeProvider
from xmguard.response import PluginInfo

ALLOW_LIST = "XMGUARD_PLUGINS"
"""Environment variable: comma-separated entry-point names that may load; unset means all, empty means none."""

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
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin {manager.get_name(error.plugin)!r} implements an unknown hook: {error}") from error
    return _collect(manager, versions)


def _allowed_entry_points() -> list[EntryPoint]:
    found = sorted(entry_points(group=hookspecs.PROJECT), key=lambda entry: entry.name)
    setting = os.environ.get(ALLOW_LIST)
    if setting is None:
        return found
    allowed = {name.strip() for name in setting.split(",") if name.strip()}
    missing = allowed - {entry.name for entry in found} - set(BUILT_INS)
    if missing:
        raise PluginError(
            f"{ALLOW_LIST} names plugins that are not installed: {', '.join(sorted(missing))}; "
            f"installed: {', '.join(entry.name for entry in found) or 'none'}"
        )
    return [entry for entry in found if entry.name in allowed]


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
    try:
        manager.register(plugin, name=name)
    except (ValueError, pluggy.PluginValidationError) as error:
        raise PluginError(f"plugin {name!r} cannot be registered: {error}") from error


def _collect(manager: pluggy.PluginManager, versions: Mapping[str, str]) -> Registry:
    provides: dict[str, list[str]] = {name: [] for name in versions}

    def gather(hook: str, kind: str, contract: type, key: str = "name") -> Named[Any]:
        items: dict[str, Any] = {}
        owners: dict[str, str] = {}
        for owner, item in _results(manager, hook):
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
    for impl in manager.hook.xmguard_detect_language.get_hookimpls():
        provides[impl.plugin_name].append("language-detection")
    plugins = tuple(PluginInfo(name, versions[name], tuple(sorted(provides[name]))) for name in sorted(versions))
    return Registry(plugins=plugins, _manager=manager, **collected)


def _members(contract: type) -> list[str]:
    """Public attributes and methods that a contract names."""
    named = {*vars(contract), *getattr(contract, "__annotations__", {})}
    return sorted(name for name in named if not name.startswith("_"))


def _results(manager: pluggy.PluginManager, hook: str) -> Iterable[tuple[str, object]]:
    """Owner and object for everything a hook returns; calls each implementation itself so that the owner is known."""
    for impl in getattr(manager.hook, hook).get_hookimpls():
        try:
            items = list(impl.function())
        except Exception as error:  # a plugin may raise anything; start-up stops and names it
            raise PluginError(f"plugin {impl.plugin_name!r}: {hook} failed: {type(error).__name__}: {error}") from error
        for item in items:
            yield impl.plugin_name, item
