"""Reads a profile from JSON, strictly: one that is half understood would steer or judge otherwise than was measured.

It is the key `profile` of a model folder's `xmguard.json`, or of a file by itself. Knows no policies and no features:
whether they are there is `xmguard.planning`'s business.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from xmguard.bias import HeadFactors
from xmguard.calibration import PAIRINGS, FeatureWeight, Fit, FittedFor, ProbeSource, VerdictProfile
from xmguard.errors import ModelRefused, keyed
from xmguard.evidence import Bounds
from xmguard.parts import TEXT
from xmguard.profile import CARD, Profile
from xmguard.request import Rebalance

T = TypeVar("T")
_KEY = "profile"
_REBALANCE = f"{_KEY}.rebalance"
_VERDICT = f"{_KEY}.verdict"
VERSION = 1
"""Of the form of `profile.verdict`; another one is refused."""


def read_profile(place: Path) -> Profile | None:
    """The profile in a model folder's `xmguard.json`, or in a file; None if it holds none, or there is no such file.

    Raises:
        ModelRefused: the file or its key `profile` is not as it has to be, with every reason found.
    """
    path = place if place.suffix == ".json" else place / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelRefused(str(place), [f"its {path.name} cannot be read: {error}"]) from error
    if not isinstance(card, dict):
        raise ModelRefused(str(place), [f"its {path.name} is not a JSON object"])
    if _KEY not in card:
        return None
    reader = _Reader(path.parent)
    profile = reader.profile(card[_KEY])
    if reader.problems:
        raise ModelRefused(str(place), [f"{path.name}: {problem}" for problem in reader.problems])
    return profile


class _Reader:
    """Reads JSON and keeps every problem found, each with the path of its key."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self._folder = folder

    def profile(self, content: Any) -> Profile:
        outer = self._object(content, _KEY, required=("name", "rebalance"), optional=("verdict",))
        inner = self._object(
            outer.get("rebalance", {}), _REBALANCE, required=("policy",), optional=("parameters", "heads", "pairs")
        )
        default = self._policy(inner, _REBALANCE)
        return Profile(
            name=self._text(outer, "name", _KEY),
            policy=default.policy,
            parameters=default.parameters,
            heads=self._heads(inner["heads"], f"{_REBALANCE}.heads") if "heads" in inner else None,
            verdict=self._verdict(outer["verdict"]) if "verdict" in outer else None,
            pairs=self._pairs(inner.get("pairs", {}), f"{_REBALANCE}.pairs"),
        )

    def _pairs(self, content: Any, path: str) -> Mapping[str, Rebalance]:
        if not isinstance(content, dict):
            return self._wrong(path, 'is not an object of policies with keys like "en-zh" or "image-text"', {})
        read = {}
        for pair, policy in content.items():
            one = keyed(path, pair)
            if not _is_pair(pair):
                self._wrong(one, 'is named by no two languages or modalities in sorted order, like "en-zh"', None)
            known = self._object(policy, one, required=("policy",), optional=("parameters",))
            read[pair] = self._policy(known, one)
        return read

    def _policy(self, content: dict[str, Any], path: str) -> Rebalance:
        parameters = content.get("parameters", {})
        if not isinstance(parameters, dict):
            parameters = self._wrong(f"{path}.parameters", "is not an object of numbers", {})
        numbers = {
            name: self._number(value, keyed(f"{path}.parameters", name), -math.inf, math.inf)
            for name, value in parameters.items()
        }
        return Rebalance(self._text(content, "policy", path), numbers)

    # -- the verdict -------------------------------------------------------------------------------------------------

    def _verdict(self, content: Any) -> VerdictProfile | None:
        content = self._object(
            content,
            _VERDICT,
            required=("version", "fitted_for", "fitted_on", "conflict", "comparable", "bounds"),
            optional=("languages", "modalities", "probe"),
        )
        version = content.get("version", VERSION)
        if version != VERSION or isinstance(version, bool):
            return self._wrong(f"{_VERDICT}.version", f"is not {VERSION}, the one that this version reads", None)
        model = self._object(
            content.get("fitted_for", {}), f"{_VERDICT}.fitted_for", required=("model_hash", "engine", "dtype")
        )
        limits = ("conflict_above", "agreement_below", "comparable_above")
        bounds = self._object(content.get("bounds", {}), f"{_VERDICT}.bounds", required=limits)
        read = VerdictProfile(
            fitted_for=FittedFor(
                *(self._text(model, key, f"{_VERDICT}.fitted_for") for key in ("model_hash", "engine", "dtype"))
            ),
            conflict=self._fits(content.get("conflict", {}), f"{_VERDICT}.conflict"),
            comparable=self._fits(content.get("comparable", {}), f"{_VERDICT}.comparable"),
            bounds=Bounds(
                **{key: self._number(bounds.get(key, 0.0), f"{_VERDICT}.bounds.{key}", 0.0, 1.0) for key in limits}
            ),
            fitted_on=self._text(content, "fitted_on", _VERDICT),
            languages=self._languages(content.get("languages", []), f"{_VERDICT}.languages"),
            modalities=self._modalities(content.get("modalities", [TEXT]), f"{_VERDICT}.modalities"),
            probe=self._probe(content["probe"], f"{_VERDICT}.probe") if "probe" in content else None,
        )
        if content.get("conflict") == {}:
            self._wrong(f"{_VERDICT}.conflict", f"holds no fit; the keys here are {', '.join(PAIRINGS)}", None)
        return read

    def _languages(self, content: Any, path: str) -> tuple[str, ...]:
        if not isinstance(content, list) or not all(isinstance(pair, str) and _is_pair(pair) for pair in content):
            return self._wrong(path, 'is not a list of pairs of languages in sorted order, like "de-en"', ())
        return tuple(content)

    def _modalities(self, content: Any, path: str) -> tuple[str, ...]:
        """Of whatever name: a profile may have been fitted where other plugins are installed."""
        named = isinstance(content, list) and all(isinstance(name, str) and name.strip() for name in content)
        if not named or not content or len({*content}) < len(content):
            return self._wrong(path, f'is not a list of at least one modality like "{TEXT}", each once', ())
        return tuple(content)

    def _fits(self, content: Any, path: str) -> Mapping[str, Fit]:
        content = self._object(content, path, required=(), optional=PAIRINGS)
        return {name: self._fit(fit, f"{path}.{name}") for name, fit in content.items() if name in PAIRINGS}

    def _fit(self, content: Any, path: str) -> Fit:
        content = self._object(content, path, required=("intercept", "weights"), optional=("curve",))
        weights = content.get("weights", [])
        if not isinstance(weights, list) or not weights:
            weights = self._wrong(f"{path}.weights", "is not a list of at least one weight", [])
        curve = content.get("curve", [])
        if not isinstance(curve, list) or not all(isinstance(point, list) and len(point) == 2 for point in curve):
            curve = self._wrong(f"{path}.curve", "is not a list of [log-odds, probability]", [])
        known = len(self.problems)
        points = tuple(
            (
                self._number(x, f"{path}.curve[{n}][0]", -math.inf, math.inf),
                self._number(y, f"{path}.curve[{n}][1]", 0.0, 1.0),
            )
            for n, (x, y) in enumerate(curve)
        )
        if len(self.problems) == known and any(b[0] <= a[0] or b[1] < a[1] for a, b in pairwise(points)):
            self._wrong(f"{path}.curve", "does not rise", None)
        read = tuple(self._weight(weight, f"{path}.weights[{n}]") for n, weight in enumerate(weights))
        counts = Counter(weight.feature for weight in read)
        for feature in [name for name, count in counts.items() if name and count > 1]:
            self._wrong(f"{path}.weights", f"weighs {feature} {counts[feature]} times", None)
        return Fit(self._number(content.get("intercept", 0.0), f"{path}.intercept", -math.inf, math.inf), read, points)

    def _weight(self, content: Any, path: str) -> FeatureWeight:
        numbers = ("weight", "center", "scale", "absent")
        content = self._object(content, path, required=("feature", *numbers))
        values = {key: self._number(content.get(key, 1.0), f"{path}.{key}", -math.inf, math.inf) for key in numbers}
        if values["scale"] <= 0 and not any(problem.startswith(f"{path}.scale ") for problem in self.problems):
            self._wrong(f"{path}.scale", "is not above 0", None)
        return FeatureWeight(self._text(content, "feature", path), **values)

    def _probe(self, content: Any, path: str) -> ProbeSource:
        content = self._object(content, path, required=("adapter", "sha256", "layers", "task"))
        folder, task = self._text(content, "adapter", path), content.get("task", "{question}")
        if Path(folder).name != folder or folder.startswith("."):
            folder = self._wrong(f"{path}.adapter", "is not the name of a folder beside the profile", "adapter")
        if not isinstance(task, str) or "{question}" not in task:
            task = self._wrong(f"{path}.task", "is no text with {question} in it", "{question}")
        layers = self._number(content.get("layers", 1), f"{path}.layers", 1, 10_000)
        if layers % 1:
            self._wrong(f"{path}.layers", f"is {layers}, no whole number", None)
        return ProbeSource(self._folder / folder, self._text(content, "sha256", path), int(layers), task)

    # -- pieces ------------------------------------------------------------------------------------------------------

    def _object(
        self, content: Any, path: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        known = (*required, *optional)
        if not isinstance(content, dict):
            return self._wrong(path, f"is not an object with the keys {', '.join(known)}", {})
        self.problems += [f"{path}.{key} is missing" for key in required if key not in content]
        self.problems += [
            f"{path}.{key} is not known; the keys here are {', '.join(known)}" for key in content if key not in known
        ]
        return content

    def _text(self, content: dict[str, Any], key: str, path: str) -> str:
        value = content.get(key, "-")  # that it is missing has been said
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        return self._wrong(f"{path}.{key}", "is not a name", "")

    def _number(self, value: Any, path: str, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._wrong(path, f"is {json.dumps(value)[:40]}, not a number", 0.0)
        try:
            number = float(value)
        except OverflowError:  # JSON's integers have no largest
            number = math.inf
        if not math.isfinite(number) or not low <= number <= high:  # NaN, which Python's JSON takes, compares false
            allowed = "a number" if low == -math.inf else f"from {low:g} to {high:g}"
            return self._wrong(path, f"is {number}; {allowed}", 0.0)
        return number

    def _heads(self, content: Any, path: str) -> HeadFactors:
        if not isinstance(content, list) or not all(isinstance(layer, list) for layer in content):
            return self._wrong(path, "is not a list of layers, each a list of one factor per head", ())
        factors = tuple(
            tuple(self._number(value, f"{path}[{layer}][{head}]", 0.0, 1.0) for head, value in enumerate(values))
            for layer, values in enumerate(content)
        )
        if not self.problems and not any(factor for layer in factors for factor in layer):
            self._wrong(path, "holds no factor above 0, so nothing could be steered", None)
        return factors

    def _wrong(self, path: str, what: str, instead: T) -> T:
        self.problems.append(f"{path} {what}")
        return instead


def _is_pair(name: str) -> bool:
    """Whether it names two languages or modalities as `xmguard.profile.meeting` does; nothing would meet any other."""
    halves = name.lower().split("-")
    return len(halves) == 2 and all(halves) and name == "-".join(sorted(halves))
