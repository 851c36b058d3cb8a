"""The evidence of a question whose spans answer what a test says, on the tiny model: what features are tried on.

Everything but the answers is real: the session, and how likely the tiny model finds each answer. Knows no feature.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from xmguard.alone import AloneReading, answer_language
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import ENGLISH
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.evidence import Evidence, SpanEvidence
from xmguard.featuring import RequestReading, compared_pairs
from xmguard.plugins import Registry, load_plugins
from xmguard.profile import Profile
from xmguard.request import AnswerRequest, Decoding
from xmguard.response import Limits
from xmguard.run import Run
from xmguard.span import Span
from xmguard.testing.tiny import tiny_model
from xmguard.validation import validate


@dataclass(frozen=True)
class AnsweredSpan:
    """A text, and what is answered from it alone."""

    text: str
    answer: str
    """Empty where nothing is answered."""
    language: str = ENGLISH
    """BCP-47 tag. Without a plugin of that language the answer is read as English."""


@dataclass(frozen=True)
class EvidenceCase:
    """A question with spans that answer it, named `s1`, `s2`, ... unless `ids` says how."""

    question: str
    spans: Sequence[AnsweredSpan]
    ids: Sequence[str] = ()
    probed: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    """Logits of a pair probe, which the tiny model has not; see `EvidenceReading.probed`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The spans' ids."""
        return tuple(self.ids) or tuple(f"s{number}" for number in range(1, len(self.spans) + 1))

    @contextmanager
    def reading(self, *, turned: bool = False, without_text: str = "") -> Iterator[RequestReading]:
        """What a feature is given, valid inside the block.

        Args:
            turned: the evidence names the spans, and each pair's two, in the opposite order; the prompt stays as it is,
                so that a feature has the same value for each pair.
            without_text: id of a span whose text is kept back, as that of media is.
        """
        with self._run() as (run, alone):
            spans = tuple(
                replace(span, text="", modality="image") if span.span_id == without_text else span
                for span in copy.deepcopy(self._scored)
            )
            pairs: Sequence[tuple[str, str]] = compared_pairs(Evidence(self.question, spans))
            if turned:
                spans, pairs = spans[::-1], [(b, a) for a, b in reversed(pairs)]
            yield _Reading(Evidence(self.question, spans), pairs, alone, run, tiny_model()[0], _registry(), self.probed)

    @contextmanager
    def _run(self) -> Iterator[tuple[Run, Mapping[str, Branch]]]:
        """The question put to the tiny model, and the branches that read a span alone, by its id."""
        backend, _ = tiny_model()
        asked = tuple(
            Span(name, span.text, language=span.language) for name, span in zip(self.names, self.spans, strict=True)
        )
        limits = Limits(max_prompt_tokens=backend.context_length - 1)
        request = AnswerRequest(spans=asked, question=self.question)
        valid = validate(request, model="", profile=Profile("", "none"), limits=limits, registry=_registry())
        prompt, stop = backend.encode(valid.context, valid.request.prompt), Stop()
        run = Run("", valid, prompt, backend.open(prompt, stop), stop, 0.0, 0.0)
        try:
            yield run, AloneReading(backend, valid.context, prompt).by_span
        finally:
            run.session.close()

    @cached_property
    def _scored(self) -> tuple[SpanEvidence, ...]:
        """What the answers are worth to the tiny model."""
        with self._run() as (run, alone):
            return tuple(self._spans(run, alone))

    def _spans(self, run: Run, alone: Mapping[str, Branch]) -> Iterator[SpanEvidence]:
        backend, _ = tiny_model()
        unread = Branch("unread", run.prompt.alone_tail, AttentionBias(dict.fromkeys(self.names, REMOVE)))
        ids = {name: backend.ids(span.answer) for name, span in zip(self.names, self.spans, strict=True)}
        one = {branch.name: Decoding(max_tokens=1) for branch in alone.values()}
        entropy = {token.branch: token.entropy for token in run.session.decode(list(alone.values()), one)}
        for name, span in zip(self.names, self.spans, strict=True):
            said = ids[name]
            scored = run.session.score([(branch, said) for branch in (*alone.values(), unread)]) if said else []
            by_reader = dict(zip((*alone, ""), scored, strict=False))
            prior, own = by_reader.pop("", ()), by_reader.pop(name, ())
            yield SpanEvidence(
                span_id=name,
                language=span.language,
                answer=span.answer,
                normalized=answer_language(_registry(), span.language, ENGLISH).normalize(span.answer),
                entropy=entropy[alone[name].name] if said else None,
                own=own,
                under=by_reader,
                prior=prior,
                tokens=tuple(backend.text([token]) for token in said),
                text=span.text,
            )


@dataclass(frozen=True)
class _Reading(RequestReading):
    """A reading whose probe says what the case says."""

    given: Mapping[tuple[str, str], Sequence[float]]

    @property
    def probed(self) -> Mapping[tuple[str, str], Sequence[float]]:
        """The same logits whichever of a pair is named first."""
        either = {**self.given, **{(b, a): logits for (a, b), logits in self.given.items()}}
        return {pair: either[pair] for pair in self.pairs if pair in either}


@cache
def _registry() -> Registry:
    """The plugins, loaded once a process as for the tiny model."""
    return load_plugins()
