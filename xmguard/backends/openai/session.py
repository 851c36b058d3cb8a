"""One request's readings, each a call of its own. Who decodes waits here and looks at the request's `Stop` meanwhile.

A branch is the message without the spans that its bias removes; any other bias is refused.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import NoReturn

from xmguard.backends.ending import Ending
from xmguard.backends.openai.api import Api, Ask
from xmguard.backends.openai.calls import Calls
from xmguard.backends.openai.pieces import piece, text
from xmguard.backends.openai.prompting import VERDICTS
from xmguard.backends.openai.replies import Piece, Reply
from xmguard.bias import REMOVE
from xmguard.context import EncodedPrompt, SpanMap
from xmguard.contracts import Branch, Token
from xmguard.deadline import Stop
from xmguard.errors import EngineError, InvalidRequest
from xmguard.measurement import DirectedContribution, Measurement
from xmguard.request import Decoding
from xmguard.usage import SessionUsage

LOOK = 0.05
"""Seconds between two looks at the `Stop` while nothing comes."""
END = piece("")
PROBE_TOKENS = 8
_SURE = 5
"""Letters of a word that tell that it was meant: "agree" is said for "agreement"."""
_NEVER = 2**62
"""Tokens: the API counts them."""
SAID = 3.0
"""Nats by which what a model says of a pair counts as likelier than what it does not, where no probability is told."""


@dataclass
class _Spoken:
    """One branch while it is decoded."""

    branch: Branch
    ending: Ending
    held: Piece | None = None
    """The last piece, not handed on yet: only what comes next tells whether it is the last."""
    ended: bool = False
    """What comes after is not listened to."""

    def take(self, heard: Piece) -> Iterator[Token]:
        """The tokens that a piece completes."""
        for part in self._lines(heard):
            if self.ended:
                return
            last, is_end = self.ending.at(piece(part.content))
            if is_end:
                yield from self.finish(is_end=True)
                return
            if self.held is not None:
                yield self._token(self.held, last=False)
            self.held = part
            if last:
                yield from self.finish(is_end=False)

    def finish(self, *, is_end: bool) -> Iterator[Token]:
        """The last tokens; `is_end` as in `Token`: whether the model ended its answer itself."""
        if not self.ended:
            self.ended = True
            last = self.held
            if last is not None:
                yield self._token(last, last=not is_end)
            if last is None or is_end:
                yield Token(self.branch.name, END, None, None, last=True, is_end=is_end)

    def _lines(self, heard: Piece) -> list[Piece]:
        """A piece, cut before its line breaks where a line ends the branch."""
        first, *others = heard.content.split(b"\n")
        if not self.branch.single_line or not others:
            return [heard]
        parts = [*([first] if first else []), *(b"\n" + other for other in others)]
        return [Piece(part, heard.logprob) for part in parts]

    def _token(self, one: Piece, *, last: bool) -> Token:
        return Token(self.branch.name, piece(one.content), one.logprob, None, last=last, is_end=False)


Event = tuple[str, Piece | Reply | Exception]
"""Of the call of this name: what was heard, how it ended, or why there is no more of it."""


class ApiSession:
    """Satisfies `xmguard.contracts.Session` but for what the backend lacks."""

    def __init__(self, api: Api, calls: Calls, prompt: EncodedPrompt, stop: Stop) -> None:
        self._api = api
        self._calls = calls
        self._prompt = prompt
        self._stop = stop
        self._running: list[Future[None]] = []
        self._replies: dict[str, Reply] = {}

    def prepare(self, branches: Sequence[Branch]) -> None:
        """Nothing can be run before it is asked for."""

    def decode(self, branches: Sequence[Branch], decoding: Mapping[str, Decoding]) -> Iterator[Token]:
        """Ask all branches at once; tokens come in the order in which they are heard.

        Raises:
            EngineError: a call failed, and none of the others is waited for.
            InvalidRequest: a temperature is asked for that the API does not take.
        """
        spoken = {
            branch.name: _Spoken(branch, Ending(branch, end_ids=(END,), budget=_NEVER, text=text))
            for branch in branches
        }
        # What the verdict waits for is asked first.
        waited_for = sorted(branches, key=lambda branch: branch.answers)
        for name, heard in self._listen({one.name: self._ask(one, decoding[one.name]) for one in waited_for}):
            if isinstance(heard, Piece):
                yield from spoken[name].take(heard)
            else:
                yield from spoken[name].finish(is_end=heard.finish != "length")

    def probe(self, branches: Sequence[Branch]) -> list[tuple[float, ...]]:
        """What the model says of each branch when it is asked for one of three words, as logits.

        Log-probabilities of the words where they are told at the first one; else `SAID` for the word that was said.
        All are 0 where none of the three was said.
        """
        said: dict[str, list[Piece]] = {branch.name: [] for branch in branches}
        for name, heard in self._listen({one.name: self._ask(one, Decoding(PROBE_TOKENS)) for one in branches}):
            if isinstance(heard, Piece):
                said[name].append(heard)
        return [verdict_logits(said[branch.name]) for branch in branches]

    def usage(self) -> SessionUsage:
        """As the API told; calls that were broken off count as nothing."""
        told = {name: reply.tokens for name, reply in self._replies.items() if reply.tokens is not None}
        counted = {name: (one.prompt, one.generated) for name, one in told.items()}
        return SessionUsage(0, sum(map(sum, counted.values())), sum(one.cached for one in told.values()), counted)

    def close(self) -> None:
        """Break off the calls that are still running."""
        for call in self._running:
            call.cancel()

    def measure(self, branch: Branch) -> Measurement:
        """Lacking."""
        _lacking("measure")

    def generated(self, branch: Branch) -> Measurement:
        """Lacking."""
        _lacking("measure")

    def directed(self, branch: Branch, answer: Sequence[int]) -> DirectedContribution:
        """Lacking."""
        _lacking("measure")

    def score(self, pairs: Sequence[tuple[Branch, tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Lacking."""
        _lacking("score")

    def recut(self, span_map: SpanMap) -> ApiSession:
        """Lacking."""
        _lacking("score")

    def _ask(self, branch: Branch, settings: Decoding) -> Ask:
        bias = branch.bias
        removed = {span for span, epsilon in bias.epsilon.items() if epsilon == REMOVE}
        if bias.rule is not None or any(epsilon for span, epsilon in bias.epsilon.items() if span not in removed):
            _lacking("steer")
        if settings.temperature and not self._api.offers.temperature:
            raise InvalidRequest.field("decoding.temperature", "the API takes none for this model; leave it at 0")
        content = self._prompt.media.message(removed, branch.tail)
        return Ask(content, settings.max_tokens, settings.temperature, settings.seed)

    def _listen(self, asks: Mapping[str, Ask]) -> Iterator[tuple[str, Piece | Reply]]:
        """Make calls by name all at once; gives what is heard of each, and last how it ended.

        Raises what `Stop.check` raises, and the first error of a call.
        """
        events: SimpleQueue[Event] = SimpleQueue()
        calls = [self._calls.begin(self._call(name, ask, events)) for name, ask in asks.items()]
        self._running += calls
        try:
            for _ in asks:
                while True:
                    name, event = self._next(events)
                    if isinstance(event, Exception):
                        raise event
                    if isinstance(event, Reply):
                        self._replies[name] = event
                    yield name, event
                    if isinstance(event, Reply):
                        break
        finally:
            for call in calls:
                call.cancel()

    async def _call(self, name: str, ask: Ask, events: SimpleQueue[Event]) -> None:
        remaining = self._stop.remaining()
        deadline = None if remaining is None else time.monotonic() + remaining
        try:
            events.put((name, await self._api.stream(ask, lambda one: events.put((name, one)), deadline)))
        except Exception as error:  # it is raised where somebody waits for it
            events.put((name, error))
        except asyncio.CancelledError:  # nobody waits any more, unless the backend was closed meanwhile
            events.put((name, EngineError("the engine was closed in the middle of an answer; ask another one")))
            raise

    def _next(self, events: SimpleQueue[Event]) -> Event:
        while True:
            self._stop.check()
            try:
                return events.get(timeout=LOOK)
            except Empty:
                continue


def verdict_logits(said: Sequence[Piece]) -> tuple[float, ...]:
    """Of `VERDICTS`, from the first piece with a letter in it; see `ApiSession.probe`."""
    first = next((one for one in said if any(map(str.isalpha, _word(one)))), None)
    if first is None:
        return (0.0,) * len(VERDICTS)
    if first.likeliest:
        return _told_logits(first.likeliest)
    whole = "".join(map(_word, said)).strip()
    return tuple(SAID if whole.startswith(word[:_SURE]) else 0.0 for word in VERDICTS)


def _told_logits(likeliest: Mapping[str, float]) -> tuple[float, ...]:
    """A word's tokens are those that it begins with; a word with none is at most as likely as the least likely told."""
    floor = min(likeliest.values())
    sums = []
    for word in VERDICTS:
        begun = [
            nats
            for token, nats in likeliest.items()
            if (start := token.strip().lower()) and (word.startswith(start) or start.startswith(word[:_SURE]))
        ]
        sums.append(math.log(math.fsum(map(math.exp, begun))) if begun else None)
    if not any(total is not None for total in sums):
        return (0.0,) * len(VERDICTS)
    return tuple(floor if total is None else total for total in sums)


def _word(one: Piece) -> str:
    return one.content.decode(errors="replace").lower()


def _lacking(what: str) -> NoReturn:
    raise NotImplementedError(f"this engine does not {what}; its backend's `lacks` says why")
