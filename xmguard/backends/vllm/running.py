"""One request inside vLLM, as it is heard of: what it generates, and what the workers tell of its rows.

The two come by different ways and in any order between them. Written by the engine's thread, read by the one that
asked. Knows neither vLLM nor sockets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.deadline import Stop
from xmguard.errors import EngineError, ErrorCode
from xmguard.measurement import Cube, Measurement

LATE = 30.0
"""Seconds after a request's last token within which the workers must have told what was asked of them."""
_LOOK = 0.05
"""Seconds between two looks at a caller's `Stop`."""


@dataclass(frozen=True)
class Said:
    """One generated token."""

    id: int
    logprob: float
    """Nats."""
    entropy: float
    """Nats; NaN where it was not asked for."""


@dataclass
class _Sums:
    """Sums over rows, as the ranks tell them."""

    parts: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """Rank to its message."""
    heard: int = 0
    """Messages so far."""

    def take(self, message: Mapping[str, Any]) -> None:
        """Later messages of a rank hold more rows than earlier ones."""
        self.parts[int(message["rank"])] = message
        self.heard += 1

    @property
    def rows(self) -> int | None:
        """How many rows, once every rank has told of as many; None until then."""
        told = {int(part["rows"]) for part in self.parts.values()}
        ranks = {int(part["ranks"]) for part in self.parts.values()}
        return next(iter(told)) if len(told) == 1 and ranks == {len(self.parts)} else None


class Running:
    """A request that was handed to the engine."""

    def __init__(self, spec: ReadingSpec, stop: Stop) -> None:
        self.spec = spec
        self.cached_tokens = 0
        """Tokens of the prompt that were read from the prefix cache; known with the first token."""
        self._stop = stop
        self._changed = threading.Condition()
        self._tokens: list[tuple[int, float]] = []
        self._entropies: dict[int, float] = {}
        self._prompt = _Sums()
        self._generated = _Sums()
        self._probe: tuple[float, ...] | None = None
        self._scores: tuple[float, ...] | None = None
        self._ended: float | None = None
        self._error: Exception | None = None

    # -- the engine's side -------------------------------------------------------------------------------------------

    def say(self, tokens: Sequence[tuple[int, float]], cached_tokens: int) -> None:
        """More tokens, each with its log-probability."""
        with self._changed:
            self.cached_tokens = max(self.cached_tokens, cached_tokens)
            self._tokens += tokens
            self._changed.notify_all()

    def score(self, logprobs: Sequence[float]) -> None:
        """The log-probabilities of the last tokens of the prompt, where it is not the workers that tell them."""
        with self._changed:
            self._scores = tuple(logprobs)
            self._changed.notify_all()

    def tell(self, message: Mapping[str, Any]) -> None:
        """A message of a worker."""
        with self._changed:
            match message["kind"]:
                case "token":
                    self._entropies[int(message["index"])] = float(message["entropy"])
                case "prompt":
                    self._prompt.take(message)
                case "generated":
                    self._generated.take(message)
                case "scores":
                    self._scores = tuple(map(float, message["logprobs"]))
                case "probe":
                    self._probe = tuple(map(float, message["logits"]))
                case "error":
                    said = f"the engine could not read the spans as asked: {message['text']}"
                    self._error = self._error or EngineError(said, code=ErrorCode.INTERNAL)
                case unknown:
                    said = f"a worker of the engine told of {unknown!r}, which nothing here knows"
                    self._error = self._error or EngineError(said, code=ErrorCode.INTERNAL)
            self._changed.notify_all()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more is generated."""
        with self._changed:
            self._ended = self._ended or time.monotonic()
            self._error = self._error or error
            self._changed.notify_all()

    # -- the caller's side -------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether nothing more is generated."""
        return self._ended is not None

    @property
    def said(self) -> int:
        """Tokens generated so far."""
        return len(self._tokens)

    def token(self, index: int) -> Said:
        """A generated token, with its entropy if that was asked for; waits for it.

        Raises:
            EngineError: the engine failed, or ended the request before.
            Cancelled, DeadlineExceeded: the request's `Stop` said so.
        """

        def there() -> bool:
            if len(self._tokens) <= index and self._ended:
                raise EngineError(f"the engine ended a request after {len(self._tokens)} tokens; ask again")
            return len(self._tokens) > index and (not self.spec.told or index in self._entropies)

        self._wait(there, "a token's entropy")
        token, logprob = self._tokens[index]
        return Said(token, logprob, self._entropies.get(index, float("nan")))

    def finished(self) -> None:
        """Wait until nothing more is generated; raises what `token` raises."""
        self._wait(lambda: self.ended, "its end")

    def tail(self) -> Measurement:
        """Means over the rows of the prompt's tail; waits for them, and raises what `token` raises."""
        self._wait(lambda: self._prompt.rows is not None, "the contributions of a prompt")
        wanted = self.spec.prompt_tokens - self.spec.span_map.context_tokens
        if self._prompt.rows != wanted:
            said = f"the engine measured {self._prompt.rows} rows of a tail of {wanted}"
            raise EngineError(said, code=ErrorCode.INTERNAL)
        return self._measurement(self._prompt)

    def ask(self, workers: Callable[[], object]) -> None:
        """Have the workers tell what they have summed over generated tokens so far, and wait until they did.

        Of a request that is over they have told all by themselves, and know nothing of it any more.
        """
        if self.said:
            before = self._generated.heard
            workers()
            self._wait(
                lambda: self.ended or (self._generated.heard > before and self._generated.rows is not None),
                "what it summed",
            )

    def generated(self) -> Measurement:
        """Means over the generated tokens that were read back; waits for a request that has ended.

        For one that has not, what was told last; raises what `token` raises.
        """
        if self.ended:
            # The last token is never read back. One that was not seen ran ahead of a caller who ended the request.
            self._wait(lambda: (self._generated.rows or 0) >= self.said - 1, "the contributions of an answer")
        return self._measurement(self._generated)

    def scores(self) -> tuple[float, ...]:
        """Log-probabilities of what is `scored`, then of `choices` or forced tokens; raises what `token` raises.

        Of a step that was not read as asked no entropy is told: whoever has those of the forced tokens has none of a
        prompt that was read without its bias.
        """
        said = [self.token(index) for index in range(len(self.spec.forced))]
        if tuple(token.id for token in said) != self.spec.forced:
            raise EngineError("the engine said other tokens than it was to score", code=ErrorCode.INTERNAL)
        if self.spec.scored or self.spec.choices:
            self._wait(lambda: self._scores is not None, "the log-probabilities of a prompt")
        return (*(self._scores or ()), *(token.logprob for token in said))

    def probed(self) -> tuple[float, ...]:
        """Logits of the pair probe; waits for them, and raises what `token` raises."""
        self._wait(lambda: self._probe is not None, "the logits of the probe")
        assert self._probe is not None
        return self._probe

    def _wait(self, there: Callable[[], bool], what: str) -> None:
        with self._changed:
            while True:
                if self._error is not None:
                    raise self._error
                if there():
                    return
                if self._ended is not None and time.monotonic() > self._ended + LATE:
                    raise EngineError(f"the engine did not tell {what} in {LATE:g} s", code=ErrorCode.INTERNAL)
                self._stop.check()
                self._changed.wait(_LOOK)

    def _measurement(self, sums: _Sums) -> Measurement:
        rows = sums.rows
        if not rows:
            return Measurement(self.spec.span_map, (), (), 0, ())
        ranks = [sums.parts[rank] for rank in sorted(sums.parts)]
        norms, masses, epsilons = (_means(ranks, name, rows) for name in ("norms", "masses", "epsilons"))
        return Measurement(self.spec.span_map, norms, masses, rows, epsilons)


def _means(ranks: Sequence[Mapping[str, Any]], name: str, rows: int) -> Cube:
    """Of sums [layer, head, segment], each rank with heads of its own."""
    import numpy

    parts = [numpy.frombuffer(part[name], dtype=numpy.float32).reshape(part["shape"]) for part in ranks]
    means = numpy.concatenate(parts, axis=1) / numpy.float32(rows)
    return tuple(tuple(tuple(head) for head in layer) for layer in means.tolist())
