"""What a plugin offers by saying where it is: engines, architectures, judges, benchmarks.

Pure values; nothing that they name is imported before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackendProvider:
    """How to load an engine, described without importing it."""

    name: str
    summary: str
    target: str
    """`module:function`; called as `function(path, registry=..., device=..., dtype=..., probe=..., adapters=...,
    options=..., progress=...)`, `path` being a model's folder, or its name where the engine is `remote`."""
    requires: str
    """The extra to install when the import fails, for example `xmguard[hf]`."""
    remote: bool = False
    """Whether models run elsewhere, so that their names mean nothing on this machine."""
    installing: str = ""
    """How to install it, in words, where pip and the extra alone are not enough; empty where they are."""
    support: str = ""
    """`module:function` without arguments: (name, description) of what it can do on this machine, for `xmguard doctor`.

    Empty for an engine about which there is nothing particular to say.
    """


@dataclass(frozen=True)
class ArchitectureProvider:
    """A model architecture of a plugin's own, for the engine `transformers`, described without importing it.

    Its classes come with the installed plugin; a model folder's own code is never run. What such a model must
    offer is in `plugins/README.md`.
    """

    model_type: str
    """As config.json of a model folder has it."""
    target: str
    """`module:function`, called without arguments before the first folder of this type is looked at.

    It registers the configuration, model and processor classes with transformers' Auto classes.
    """
    summary: str


@dataclass(frozen=True)
class JudgeProvider:
    """A judge of answers, used by the research package."""

    name: str
    summary: str
    target: str
    """`module:function`; called with a `xmguard_research.judge.settings.JudgeSettings`, it returns a judge.

    What a judge is, `xmguard_research.judge.values.Judge` says: the core knows of none.
    """


@dataclass(frozen=True)
class BenchmarkProvider:
    """A benchmark suite, used by the research package."""

    name: str
    summary: str
    target: str
    """`module:attribute`."""
    numbers: str = ""
    """`module:function` of the numbers that are the suite's own, as `xmguard_research.benchmarks.derived` calls it.

    Empty where rates say it all.
    """
