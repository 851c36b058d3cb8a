"""What is known of steering one model: the defaults of its requests, and how much each attention head is steered.

Read from the key `profile` of the model folder's `xmguard.json`, strictly: a profile that is half understood would
steer otherwise than its author measured. Knows no policies: whether the profile fits the installed ones and the loaded
model is `xmguard.planning`'s business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from xmguard.bias import HeadFactors
from xmguard.errors import ModelRefused, keyed

CARD = "xmguard.json"
"""File in a model folder that says where the model comes from and what was found about it."""
T = TypeVar("T")
_KEY = "profile"
_REBALANCE = f"{_KEY}.rebalance"


@dataclass(frozen=True)
class Profile:
    """Defaults for one model."""

    name: str
    """What responses call it."""
    policy: str
    """The policy of requests that name none."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Its parameters then."""
    heads: HeadFactors | None = None
    """Multiplies every epsilon of every policy in each head, [layer][head]; None is 1 everywhere."""


def read_profile(folder: Path) -> Profile | None:
    """The profile in a model folder; None if its `xmguard.json` holds none, or there is no such file.

    Raises:
        ModelRefused: the file or its key `profile` is not as it has to be, with every reason found.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelRefused(str(folder), [f"its {CARD} cannot be read: {error}"]) from error
    if not isinstance(card, dict):
        raise ModelRefused(str(folder), [f"its {CARD} is not a JSON object"])
    if _KEY not in card:
        return None
    reader = _Reader()
    profile = reader.profile(card[_KEY])
    if reader.problems:
        raise ModelRefused(str(folder), [f"{CARD}: {problem}" for problem in reader.problems])
    return profile


class _Reader:
    """Reads JSON and keeps every problem found, each with the path of its key."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def profile(self, content: Any) -> Profile:
        outer = self._object(content, _KEY, required=("name", "rebalance"))
        inner = self._object(
            outer.get("rebalance", {}), _REBALANCE, required=("policy",), optional=("parameters", "heads")
        )
        parameters = inner.get("parameters", {})
        if not isinstance(parameters, dict):
            parameters = self._wrong(f"{_REBALANCE}.parameters", "is not an object of numbers", {})
        return Profile(
            name=self._text(outer, "name", _KEY),
            policy=self._text(inner, "policy", _REBALANCE),
            parameters={
                name: self._number(value, keyed(f"{_REBALANCE}.parameters", name), -math.inf, math.inf)
                for name, value in parameters.items()
            },
            heads=self._heads(inner["heads"], f"{_REBALANCE}.heads") if "heads" in inner else None,
        )

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
        if not low <= value <= high:  # NaN, which Python's JSON takes, compares false
            allowed = "a number" if low == -math.inf else f"from {low:g} to {high:g}"
            return self._wrong(path, f"is {value}; {allowed}", 0.0)
        return float(value)

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
