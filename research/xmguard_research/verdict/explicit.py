"""Asking the model itself whether the sources answer alike, as a baseline: the Explicit prompt's yes and no.

Knows no verdict.
"""

from __future__ import annotations

from typing import Any

from xmguard import Guard, Prompt
from xmguard.bias import AttentionBias
from xmguard.context import Context, ContextSpan
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.parts import TEXT
from xmguard.verdict.likelihood import log_total
from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.requests import request_of

NAME = "explicit prompt"
NEUTRAL = 0.0
_SPELLINGS = {
    word: [before + spelling for before in ("", " ", "\n") for spelling in (word, word.title(), word.upper())]
    for word in ("yes", "no")
}


class ExplicitPrompt:
    """Asks one loaded model of the transformers engine."""

    def __init__(self, guard: Guard) -> None:
        """Find the tokens that are a yes or a no.

        Raises:
            ValueError: another engine runs the model, or its tokenizer begins a yes and a no with the same token.
        """
        from xmguard.backends.transformers.backend import TransformersBackend

        backend: Any = guard.backend
        if not isinstance(backend, TransformersBackend):
            raise ValueError(f"the explicit prompt needs engine transformers; {guard.model} runs in {backend.engine}")
        self._backend = backend
        self._modality = {kind: one.name for one in guard.registry.modalities for kind in one.media_types}
        self._yes, self._no = _beginnings(backend.loaded.tokenizer)

    def score(self, pair: Pair) -> float:
        """Logit of no minus logit of yes at the first token of the answer to "would each source lead to the same?".

        Each is the log of the summed probability of its spellings: with and without a space or line break before it,
        in lower, title and upper case, those that are one token. A tokenizer that has no such token for one of the
        two is asked for the first tokens of the spellings instead.
        """
        spans = tuple(
            ContextSpan(span, TEXT if span.media is None else self._modality[span.media.media_type], span.language)
            for span in request_of(pair).spans
        )
        prompt = self._backend.encode(Context(spans, pair.question), Prompt.EXPLICIT)
        session = self._backend.open(prompt, Stop())
        try:
            branch = Branch("explicit", prompt.joint_tail, AttentionBias())
            scored = session.score([(branch, (token,)) for token in (*self._no, *self._yes)])
        finally:
            session.close()
        logprobs = [logprob for (logprob,) in scored]
        return log_total(logprobs[: len(self._no)]) - log_total(logprobs[len(self._no) :])


def _beginnings(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens that begin a yes and a no: whole words if the tokenizer has any for both, else what tells them apart."""
    encoded = {
        word: [tokenizer(spelling, add_special_tokens=False)["input_ids"] for spelling in _SPELLINGS[word]]
        for word in ("yes", "no")
    }
    whole = {word: {ids[0] for ids in spelled if len(ids) == 1} for word, spelled in encoded.items()}
    first = {word: {ids[0] for ids in spelled} for word, spelled in encoded.items()}
    found = whole if all(whole.values()) else first
    yes, no = (tuple(sorted(found[word] - found[other])) for word, other in (("yes", "no"), ("no", "yes")))
    if not (yes and no):
        raise ValueError("every yes and no begins with the same token, so their logits cannot be told apart")
    return yes, no
