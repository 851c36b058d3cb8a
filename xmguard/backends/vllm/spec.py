"""What one request asks of vLLM's workers, and how it travels: as JSON in `SamplingParams.extra_args`.

Positions are those of the expanded prompt, where a picture counts as many tokens as it takes. Imports no engine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from xmguard.bias import (
    AttentionBias,
    FloorShares,
    ShareRule,
    SoftenShares,
    TargetShares,
)
from xmguard.context import SpanMap, SpanTokens
from xmguard.request import Scope

KEY = "xmguard"
"""Name of the argument in `extra_args`."""


@dataclass(frozen=True)
class PicturePlace:
    """Where one picture lies in a prompt."""

    identity: str
    """What vLLM knows it by: a hash of its pixels."""
    features: tuple[tuple[int, int], ...]
    """Half-open ranges of positions that its features take, in order."""


@dataclass(frozen=True)
class ReadingSpec:
    """How a request's rows read its spans, and what is to be told of them."""

    id: str
    """Of the request, unique for as long as the engine lives; results are told under it."""
    span_map: SpanMap
    prompt_tokens: int
    """Length of the prompt. Rows from here on are generated ones."""
    bias: AttentionBias = field(default_factory=AttentionBias)
    measured: bool = False
    """Whether contributions are summed: over the prompt's rows from `span_map.context_tokens` on, and over those of
    generated tokens."""
    told: bool = False
    """Whether the entropy of every generated token's distribution is told."""
    forced: tuple[int, ...] = ()
    """Tokens to generate whatever the model would say; their log-probabilities stay the model's."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are never generated; entropies and log-probabilities stay the model's, which counts them."""
    scored: tuple[int, ...] = ()
    """The last tokens of the prompt, whose log-probabilities are told: the rows that predict them are run."""
    choices: tuple[int, ...] = ()
    """Tokens whose log-probabilities as the one after the prompt are told."""
    adapter: str = ""
    """Name of the low-rank adapter that rows from `span_map.context_tokens` on run with; empty for none."""
    pictures: tuple[PicturePlace, ...] = ()
    """All of the prompt's, in order. A worker that has other ones, or has them elsewhere, refuses the request."""

    def first_reader(self, span: SpanTokens) -> int:
        """First position whose row reads the span with the bias (`xmguard.request.Scope`)."""
        scopes = {Scope.ALL: span.stop, Scope.GENERATED: self.prompt_tokens}
        return scopes.get(self.bias.scope, self.span_map.context_tokens)

    @property
    def first_steered(self) -> int | None:
        """First position whose row reads some span with the bias; None if none does."""
        if self.bias.is_zero:
            return None
        steered = self.bias.spans if not isinstance(self.bias.rule, SoftenShares) else set(self.span_map.ids)
        return min((self.first_reader(span) for span in self.span_map if span.span_id in steered), default=None)

    @property
    def changed_from(self) -> int | None:
        """First position whose keys differ from those of the untouched model, in any layer; None if none does."""
        adapted = self.span_map.context_tokens if self.adapter else None
        return min((first for first in (adapted, self.first_steered) if first is not None), default=None)

    @property
    def first_scored(self) -> int | None:
        """First position whose row predicts a token that is told of; None if none does."""
        return self.prompt_tokens - len(self.scored) - 1 if self.scored or self.choices else None

    @property
    def keys(self) -> tuple[tuple[int, str], ...]:
        """What tells apart blocks of the cache, hexadecimal, each from its position on; empty where all are shared.

        A block has the last key whose position is before its end, and is shared by all that have it: first by those who
        read alike, then by none, because rows that are measured or score a token have to be run.
        """
        run = self.span_map.context_tokens if self.measured else self.first_scored
        keys = []
        if self.changed_from is not None and (run is None or self.changed_from < run):
            names = ["spans", "context", "bias", "adapter"]
            if self.bias.scope is Scope.GENERATED:
                names.append("prompt")
            told = {name: value for name, value in self._plain().items() if name in names}
            keys.append((self.changed_from, sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()))
        if run is not None:
            keys.append((run, sha256(self.id.encode()).hexdigest()))
        return tuple(keys)

    def to_json(self) -> str:
        """As it travels."""
        return json.dumps(self._plain())

    @staticmethod
    def from_json(text: str) -> ReadingSpec:
        """What `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            plain = json.loads(text)
            bias = plain["bias"]
            spans = tuple(SpanTokens(str(name), int(start), int(stop)) for name, start, stop in plain["spans"])
            return ReadingSpec(
                id=str(plain["id"]),
                span_map=SpanMap(spans, int(plain["context"])),
                prompt_tokens=int(plain["prompt"]),
                bias=AttentionBias(
                    {str(name): float(value) for name, value in bias["epsilon"].items()},
                    Scope(bias["scope"]),
                    _rule(bias["rule"]),
                    None if bias["heads"] is None else tuple(tuple(map(float, layer)) for layer in bias["heads"]),
                ),
                measured=bool(plain["measured"]),
                told=bool(plain["told"]),
                forced=tuple(map(int, plain["forced"])),
                suppressed=tuple(map(int, plain["suppressed"])),
                scored=tuple(map(int, plain["scored"])),
                choices=tuple(map(int, plain["choices"])),
                adapter=str(plain["adapter"]),
                pictures=tuple(
                    PicturePlace(str(identity), tuple((int(start), int(stop)) for start, stop in features))
                    for identity, features in plain["pictures"]
                ),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"is no reading: {error}") from error

    def _plain(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "spans": [[span.span_id, span.start, span.stop] for span in self.span_map],
            "context": self.span_map.context_tokens,
            "prompt": self.prompt_tokens,
            "bias": {
                # JSON has no infinity; float() reads the word.
                "epsilon": {name: repr(value) for name, value in self.bias.epsilon.items()},
                "scope": int(self.bias.scope),
                "rule": _told(self.bias.rule),
                "heads": self.bias.heads,
            },
            "measured": self.measured,
            "told": self.told,
            "forced": list(self.forced),
            "suppressed": list(self.suppressed),
            "scored": list(self.scored),
            "choices": list(self.choices),
            "adapter": self.adapter,
            "pictures": [[place.identity, [list(each) for each in place.features]] for place in self.pictures],
        }


def _told(rule: ShareRule | None) -> dict[str, Any] | None:
    return None if rule is None else {"name": type(rule).__name__, **vars(rule)}


def _rule(told: dict[str, Any] | None) -> ShareRule | None:
    if told is None:
        return None
    rules: dict[str, type[TargetShares] | type[FloorShares] | type[SoftenShares]] = {
        rule.__name__: rule for rule in (TargetShares, FloorShares, SoftenShares)
    }
    values = {name: value for name, value in told.items() if name != "name"}
    return rules[told["name"]](**values)
