"""Reads every span alone and gathers what the verdict is estimated from (step 5 and 6 of an answer).

A span is read alone by removing the others at read time (epsilon = -inf); the context's cache is shared. In the
prefill a later span has already read the earlier ones, so "alone" is at the readers, not in the keys. Knows nothing of
probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import Context, EncodedPrompt
from xmguard.contracts import Backend, Branch, Language, Session, Token
from xmguard.evidence import Evidence, SpanEvidence
from xmguard.plugins import Registry
from xmguard.reports import AloneAnswer
from xmguard.request import Decoding

MAX_ANSWER_TOKENS = 24
"""An answer alone is one line of a few words; what is longer is cut, and compared as far as it goes."""
ANSWER_LANGUAGE = "en"
"""Language in which prompts ask for answers; its plugin reads the answers of spans whose language has none."""


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

    def answers(self) -> dict[str, AloneAnswer]:
        """Span id to its answer alone."""
        return {
            span: AloneAnswer(self._text(self._tokens[name]), self._entropy(self._tokens[name]))
            for name, span in self._span_of.items()
        }

    def evidence(self, session: Session, registry: Registry) -> Evidence:
        """Score every answer under every other span alone and unread, each distinct answer once, and normalise.

        Raises what `Stop.check` raises.
        """
        ids = {name: tuple(token.id for token in tokens) for name, tokens in self._tokens.items()}
        readers = (*self.branches, self._unread)
        asked = [(reader, answer) for answer in dict.fromkeys(ids.values()) if answer for reader in readers]
        scores = dict(zip(((b.name, a) for b, a in asked), session.score(asked), strict=True)) if asked else {}
        answers = self.answers()
        spans = []
        for span, (name, span_id) in zip(self._context.spans, self._span_of.items(), strict=True):
            answer = ids[name]
            text = answers[span_id].text
            spans.append(
                SpanEvidence(
                    span_id=span_id,
                    language=span.language,
                    answer=text,
                    normalized=answer_language(registry, span.language).normalize(text),
                    entropy=answers[span_id].entropy or 0.0,
                    own=scores.get((name, answer), ()),
                    under={
                        other: scores.get((reader, answer), ())
                        for reader, other in self._span_of.items()
                        if other != span_id
                    },
                    prior=scores.get((self._unread.name, answer), ()),
                )
            )
        return Evidence(self._context.question, tuple(spans))

    def _text(self, tokens: list[Token]) -> str:
        return self._backend.text([token.id for token in tokens]).strip()

    def _entropy(self, tokens: list[Token]) -> float | None:
        """Entropy at the first token that holds a letter or digit."""
        for token in tokens:
            if any(character.isalnum() for character in self._backend.text([token.id])):
                return token.entropy
        return None


def answer_language(registry: Registry, tag: str) -> Language:
    """The plugin of a span's language, or that of the language answers are asked for in."""
    return registry.language(tag) or registry.languages.items[ANSWER_LANGUAGE]
