"""Reads every span alone and gathers what the verdict is estimated from (step 5 and 6 of an answer).

A span is read alone by removing the others at read time (epsilon = -inf); the context's cache is shared. In the
prefill a later span has already read the earlier ones, so "alone" is at the readers, not in the keys. Knows nothing of
probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from xmguard.abilities import Ability
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import ENGLISH, Context, EncodedPrompt
from xmguard.contracts import Backend, Branch, Language, Session, Token
from xmguard.evidence import Evidence, SpanEvidence
from xmguard.languages.sentences import sentences
from xmguard.plugins import Registry
from xmguard.reports import AloneAnswer
from xmguard.request import Decoding
from xmguard.verdict.grouping import partition, representative

MAX_ANSWER_TOKENS = 24
"""An answer alone is one line of a few words; what is longer is cut, and compared as far as it goes."""


class AloneReading:
    """The span-alone branches of one request, as their tokens come in."""

    def __init__(self, backend: Backend, context: Context, prompt: EncodedPrompt) -> None:
        self._backend = backend
        self._context = context
        ids = prompt.span_map.ids
        self._span_of = {f"alone:{span}": span for span in ids}
        self.branches = tuple(
            Branch(
                name,
                prompt.alone_tail,
                AttentionBias({other: REMOVE for other in ids if other != span}),
                single_line=True,
            )
            for name, span in self._span_of.items()
        )
        self._unread = Branch("unread", prompt.alone_tail, AttentionBias(dict.fromkeys(ids, REMOVE)))
        self.decoding: Mapping[str, Decoding] = {
            branch.name: Decoding(max_tokens=MAX_ANSWER_TOKENS) for branch in self.branches
        }
        self._tokens: dict[str, list[Token]] = {branch.name: [] for branch in self.branches}
        self._open = set(self._tokens)

    @property
    def prepared(self) -> tuple[Branch, ...]:
        """Every branch that will be used, for `Session.prepare`."""
        return (*self.branches, self._unread)

    @property
    def by_span(self) -> Mapping[str, Branch]:
        """Span id to the branch that reads it alone."""
        return dict(zip(self._span_of.values(), self.branches, strict=True))

    @property
    def finished(self) -> bool:
        """Whether every span has answered."""
        return not self._open

    def take(self, token: Token) -> bool:
        """Take a decoded token if it belongs to one of the branches."""
        if token.branch not in self._tokens:
            return False
        if not token.is_end:
            self._tokens[token.branch].append(token)
        if token.last:
            self._open.discard(token.branch)
        return True

    def read(self, tokens: Iterator[Token]) -> list[Token]:
        """Take tokens until every span has answered; returns those of other branches, for after the verdict."""
        others = []
        while not self.finished:
            token = next(tokens)
            if not self.take(token):
                others.append(token)
        return others

    def tokens(self, span_id: str) -> tuple[Token, ...]:
        """What the span answers, token by token, without what ended it."""
        return tuple(self._tokens[f"alone:{span_id}"])

    def answers(self) -> dict[str, AloneAnswer]:
        """Span id to its answer alone."""
        return {
            span: AloneAnswer(self._text(self._tokens[name]), self._entropy(self._tokens[name]))
            for name, span in self._span_of.items()
        }

    def evidence(self, session: Session, registry: Registry) -> Evidence:
        """Normalise the answers, score them unread, and score what each group of equal answers says under other spans.

        One answer of a group is scored under every other span, the rest of its group only under that one's span: the
        cost grows with spans times groups. Equal wordings share their scores, and under its own span an answer has
        the probabilities it was decoded with. An engine that does not score leaves all but these out. Raises what
        `Stop.check` raises.
        """
        ids = {span: tuple(token.id for token in self._tokens[name]) for name, span in self._span_of.items()}
        own = {span: _logprobs(self._tokens[name]) for name, span in self._span_of.items()}
        reader = self.by_span
        bare = self._unscored(registry, own)
        asked = {(self._unread.name, ids[span]): (self._unread, ids[span]) for span in ids if ids[span]}
        for group in partition(bare):
            speaker = representative(group).span_id
            wanted = [(other, speaker) for other in ids] + [(speaker, member.span_id) for member in group]
            for other, said in wanted:
                if ids[said] and ids[said] != ids[other]:
                    asked[reader[other].name, ids[said]] = (reader[other], ids[said])
        if Ability.SCORE in self._backend.lacks:
            asked = {}
        scores = dict(zip(asked, session.score(list(asked.values())), strict=True)) if asked else {}
        scores |= {(reader[span].name, ids[span]): own[span] for span in ids}
        spans = tuple(
            replace(
                span,
                under={
                    other: scores[branch.name, ids[span.span_id]]
                    for other, branch in reader.items()
                    if other != span.span_id and ids[span.span_id] and (branch.name, ids[span.span_id]) in scores
                },
                prior=scores.get((self._unread.name, ids[span.span_id]), ()),
            )
            for span in bare
        )
        return Evidence(
            self._context.question,
            spans,
            asked_in=self._context.asked_in,
            question_language=self._context.question_language,
        )

    def _unscored(self, registry: Registry, own: Mapping[str, tuple[float, ...]]) -> list[SpanEvidence]:
        """The evidence as far as decoding gave it."""
        return [
            SpanEvidence(
                span_id=span_id,
                language=span.language,
                answer=answer.text,
                text=span.span.text or "",
                modality=span.modality,
                normalized=answer_language(registry, span.language, self._context.asked_in).normalize(answer.text),
                entropy=answer.entropy,
                tokens=tuple(self._backend.text([token.id]) for token in self._tokens[f"alone:{span_id}"]),
                own=own[span_id],
                under={},
                prior=(),
            )
            for span, (span_id, answer) in zip(self._context.spans, self.answers().items(), strict=True)
        ]

    def _text(self, tokens: list[Token]) -> str:
        return self._backend.text([token.id for token in tokens]).strip()

    def _entropy(self, tokens: list[Token]) -> float | None:
        """Entropy at the first token that holds a letter or digit."""
        for token in tokens:
            if any(character.isalnum() for character in self._backend.text([token.id])):
                return token.entropy
        return None


def _logprobs(tokens: Sequence[Token]) -> tuple[float, ...]:
    """Those of every token, or none: of an answer known in part nothing can be said."""
    known = tuple(token.logprob for token in tokens if token.logprob is not None)
    return known if len(known) == len(tokens) else ()


def answer_language(registry: Registry, tag: str, asked_in: str) -> Language:
    """The plugin that reads what is answered from a span with this tag to a question put in `asked_in`.

    Answers asked for in English often keep the notation of their source, which every plugin reads beside English; an
    answer in another language is read by that language's.
    """
    own = registry.language(tag) if asked_in == ENGLISH else None
    return own or registry.languages.items[asked_in]


def span_sentences(registry: Registry, text: str, tag: str) -> Sequence[tuple[int, int]]:
    """Half-open character ranges of the sentences of a text, by its language's plugin or by the general rules."""
    language = registry.language(tag)
    return sentences(text, tag) if language is None else language.sentences(text)
