"""What a guard says of itself. Runs nothing."""

from __future__ import annotations

from xmguard import __version__
from xmguard.abilities import Ability
from xmguard.contracts import Backend
from xmguard.parts import readable
from xmguard.plugins import Registry
from xmguard.response import Limits, ModelInfo, PolicyInfo, Stamp
from xmguard.validation import MEASURE_ONLY


def describe(backend: Backend, registry: Registry, *, limits: Limits, calibration: str, stamp: Stamp) -> ModelInfo:
    """What is served: of the policies those that the engine can follow.

    Args:
        backend: the loaded model.
        registry: the plugins.
        limits: what a request may hold.
        calibration: what the verdict's probabilities were fitted to, for people.
        stamp: what produces the numbers.
    """
    policies = [p for p in registry.policies if p.name == MEASURE_ONLY or Ability.STEER not in backend.lacks]
    return ModelInfo(
        model=stamp.model,
        engine=backend.engine,
        architecture=backend.architecture,
        version=__version__,
        plugins=registry.plugins,
        modalities=readable(registry.modalities.names(), backend.modalities),
        languages=registry.languages.names(),
        policies=tuple(PolicyInfo(p.name, p.summary, dict(p.parameters)) for p in policies),
        limits=limits,
        profile=stamp.profile,
        calibration=calibration,
        stamp=stamp,
    )
