"""A profile as JSON, as `xmguard.profile_reader` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xmguard.calibration import Fit, VerdictProfile
from xmguard.profile import Profile
from xmguard.profile_reader import VERSION

DIGITS = 9
"""Significant digits of a stored number: what is read back gives the same probabilities to six decimals."""


def to_json(profile: Profile) -> dict[str, Any]:
    """The card with this profile in it."""
    rebalance: dict[str, Any] = {"policy": profile.policy, "parameters": dict(profile.parameters)}
    if profile.heads is not None:
        rebalance["heads"] = profile.heads
    if profile.pairs:
        rebalance["pairs"] = {
            pair: {"policy": own.policy, "parameters": dict(own.parameters)} for pair, own in profile.pairs.items()
        }
    content: dict[str, Any] = {"name": profile.name, "rebalance": rebalance}
    if profile.verdict is not None:
        content["verdict"] = _verdict(profile.verdict)
    return {"profile": content}


def _verdict(verdict: VerdictProfile) -> dict[str, Any]:
    content: dict[str, Any] = {
        "version": VERSION,
        "fitted_for": asdict(verdict.fitted_for),
        "fitted_on": verdict.fitted_on,
        "languages": list(verdict.languages),
        "modalities": list(verdict.modalities),
        "bounds": {name: _short(value) for name, value in asdict(verdict.bounds).items()},
        "conflict": _fits(verdict.conflict),
        "comparable": _fits(verdict.comparable),
    }
    if verdict.probe is not None:
        probe = asdict(verdict.probe)
        content["probe"] = {"adapter": verdict.probe.folder.name} | {k: v for k, v in probe.items() if k != "folder"}
    return content


def _fits(fits: Mapping[str, Fit]) -> dict[str, Any]:
    return {
        name: {
            "intercept": _short(fit.intercept),
            "weights": [
                {key: value if key == "feature" else _short(value) for key, value in asdict(one).items()}
                for one in fit.weights
            ],
            "curve": _curve(fit.curve),
        }
        for name, fit in fits.items()
    }


def _curve(curve: Sequence[tuple[float, float]]) -> list[list[float]]:
    """Points that shortening makes one are one: a curve has one height at a place."""
    return [[x, y] for x, y in {_short(x): _short(y) for x, y in curve}.items()]


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
