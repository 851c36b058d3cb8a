"""Finds the sentence of each disagreeing span that its answer rests on, by removing one sentence after the other.

The span is read alone once more without one of its sentences (epsilon = -inf on that sentence's tokens); the quote is
the sentence without which the span's own answer becomes least likely. That is exact for the readers; later sentences
have read the removed one in the prefill. No text is searched for. Never changes a decision.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from xmguard.alone import AloneReading, span_sentences
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import Characters, SpanMap, SpanTokens
from xmguard.contracts import Branch, Token
from xmguard.errors import Cancelled, DeadlineExceeded, EngineError
from xmguard.plugins import Registry
from xmguard.response import ConflictVerdict, Quote
from xmguard.run import Run
from xmguard.verdict.decision import with_quotes
from xmguard.verdict.wording import join_ids

log = logging.getLogger(__name__)

MAX_SPANS = 8
"""Spans quoted at most: those of the surest disagreements."""
MAX_PASSAGES = 32
"""Passages of a span removed in turn. Each is a sentence where there are no more; otherwise even runs of neighbours are
tried first, and then smaller ones inside the run that matters most, down to a sentence."""
MIN_DROP = 0.05
"""Nats over the whole answer. A sentence whose removal costs the answer less does not bear it."""
_FIELD = "verdict.disagreements"


class _Search:
    """The sentences of one span, narrowed down round by round."""

    def __init__(self, run: Run, registry: Registry, span_id: str, said: Sequence[Token]) -> None:
        """`said` is what the span answers alone."""
        self.index = run.prompt.span_map.ids.index(span_id)
        span = run.valid.context.spans[self.index]
        self._text = span.span.text or ""
        self._cut = span_sentences(registry, self._text, span.language)
        self._starts = [start for start, _ in self._cut]
        origins = run.prompt.characters[self.index] if run.prompt.characters else ()
        self._sentence_of = [None if origin is None else self._sentence(origin) for origin in origins]
        self.left = sorted({sentence for sentence in self._sentence_of if sentence is not None})
        """Sentences with tokens that may still be the one."""
        self.answer = tuple(token.id for token in said)
        self._own = math.fsum(token.logprob for token in said if token.logprob is not None)
        self._drop = math.inf  # a span of one sentence has no other

    def _sentence(self, origin: Characters) -> int:
        """Where the token's first visible character lies: many tokens open with the space before a word."""
        visible = (at for at in range(*origin) if not self._text[at].isspace())
        return bisect_right(self._starts, next(visible, origin[0])) - 1

    @property
    def is_open(self) -> bool:
        """Whether there is something to choose from, and to choose by."""
        return len(self.left) > 1 and bool(self.answer)

    @property
    def passages(self) -> list[list[int]]:
        """What is left, in even runs."""
        count = min(len(self.left), MAX_PASSAGES)
        return [
            self.left[start:stop] for start, stop in pairwise(len(self.left) * n // count for n in range(count + 1))
        ]

    @property
    def passage_of(self) -> list[int | None]:
        """Passage of each of the span's tokens; None for a token of none."""
        passages = {sentence: number for number, passage in enumerate(self.passages) for sentence in passage}
        return [None if sentence is None else passages.get(sentence) for sentence in self._sentence_of]

    def narrow(self, without: Sequence[float]) -> None:
        """Go on inside the passage whose removal costs most; `without`: the answer's nats without each passage."""
        least = min(without)
        self.left = self.passages[without.index(least)]
        self._drop = self._own - least

    @property
    def problem(self) -> str:
        """Why there is no quote; empty when there is one."""
        if not self._text:
            return "it carries no text"
        if not self.left:
            return "the encoder does not tell which tokens are its text"
        if len(self.left) > 1:
            return "it answers nothing"
        return "" if self._drop >= MIN_DROP else "its answer needs no one sentence"

    @property
    def quote(self) -> Quote:
        """The sentence that is left, without the white space around it."""
        start, end = self._cut[self.left[0]]
        sentence = self._text[start:end]
        start += len(sentence) - len(sentence.lstrip())
        sentence = sentence.strip()
        return Quote(sentence, start, start + len(sentence))


@dataclass(frozen=True)
class _Piece:
    """Neighbouring tokens that are removed together."""

    span: int
    """Index of their span."""
    passage: int | None
    """Of the span's search; None for tokens that are not tried."""
    tokens: SpanTokens


def quote_disagreements(verdict: ConflictVerdict, run: Run, alone: AloneReading, registry: Registry) -> ConflictVerdict:
    """The verdict with quotes in its disagreements; as it is when it has none.

    What is not quoted, and what goes wrong, is named in the run's warnings.

    Raises:
        Cancelled, DeadlineExceeded: the request's `Stop` said so.
        EngineError: the engine failed, and the whole request with it.
    """
    if not verdict.disagreements:
        return verdict
    try:
        return with_quotes(verdict, _quotes(verdict, run, alone, registry))
    except (Cancelled, DeadlineExceeded, EngineError):
        raise
    except Exception:  # an engine or modality plugin may raise anything; the decision is made and stays
        log.exception("quoting the disagreements of request %s failed", run.request_id)
        run.warnings.append(f"{_FIELD}: quoting failed, so there are no quotes; the server's log says where")
        return verdict


def _quotes(verdict: ConflictVerdict, run: Run, alone: AloneReading, registry: Registry) -> dict[str, Quote]:
    """Span id to its quote, for the spans that have one."""
    named = list(dict.fromkeys(span for pair in verdict.disagreements for span in (pair.span_a, pair.span_b)))
    searches = {span: _Search(run, registry, span, alone.tokens(span)) for span in named[:MAX_SPANS]}
    while undecided := [search for search in searches.values() if search.is_open]:
        _remove(run, undecided)
    missing = dict.fromkeys(named[MAX_SPANS:], f"at most {MAX_SPANS} spans are quoted")
    missing |= {span: search.problem for span, search in searches.items() if search.problem}
    for why in dict.fromkeys(missing.values()):
        spans = [span for span in named if missing.get(span) == why]
        run.warnings.append(f"{_FIELD}: no quote from {join_ids(spans)}: {why}")
    return {span: search.quote for span, search in searches.items() if not search.problem}


def _remove(run: Run, searches: Sequence[_Search]) -> None:
    """Remove each passage of each search in turn, as one batch, and narrow the searches down by the outcome."""
    coarse = run.prompt.span_map
    pieces = _pieces(coarse, {search.index: search.passage_of for search in searches})
    tried = [(search, number) for search in searches for number in range(len(search.passages))]
    branches = [
        Branch(
            f"{search.index} without {number}",
            run.prompt.alone_tail,
            AttentionBias({p.tokens.span_id: REMOVE for p in pieces if p.span != search.index or p.passage == number}),
        )
        for search, number in tried
    ]
    session = run.session.recut(SpanMap(tuple(piece.tokens for piece in pieces), coarse.context_tokens))
    try:
        scores = session.score([(branch, search.answer) for branch, (search, _) in zip(branches, tried, strict=True)])
    finally:
        run.beside.append(session.usage())
        session.close()
    totals: dict[int, list[float]] = {search.index: [] for search in searches}
    for (search, _), logprobs in zip(tried, scores, strict=True):
        totals[search.index].append(math.fsum(logprobs))
    for search in searches:
        search.narrow(totals[search.index])


def _pieces(coarse: SpanMap, passage_of: dict[int, list[int | None]]) -> list[_Piece]:
    """The spans, those with passages cut at their borders. Ids are made up, because a caller's could look like them."""
    pieces = []
    for index, span in enumerate(coarse):
        start = span.start
        for passage, tokens in groupby(passage_of.get(index, [None] * len(span))):
            stop = start + len(list(tokens))
            pieces.append(_Piece(index, passage, SpanTokens(f"{index}:{start}", start, stop)))
            start = stop
    return pieces
