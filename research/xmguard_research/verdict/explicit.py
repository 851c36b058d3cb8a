"""Asking the model itself whether the sources answer alike, as a baseline: the Explicit prompt's yes and no.

Knows no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xmguard import Guard, Prompt, Span
from xmguard.bias import AttentionBias
from xmguard.context import Context, ContextSpan
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard_research.verdict.pairs import Pair

NAME = "explicit prompt"
NEUTRAL = 0.0
_SPELLINGS = tuple(f"{before}{word}" for word in ("yes", "no", "Yes", "No", "YES", "NO") for before in ("", " ", "\n"))


class ExplicitPrompt:
    """Asks one loaded model of the transformers engine."""

    def __init__(self, guard: Guard) -> None:
        """Find the tokens that are a yes or a no.

        Raises:
            ValueError: another engine runs the model, or its tokenizer has no single token for one of the two.
        """
        from xmguard.backends.transformers.backend import TransformersBackend

        if not isinstance(guard.backend, TransformersBackend):
            raise ValueError(
                f"the explicit prompt needs engine transformers; {guard.model} runs in {guard.backend.engine}"
            )
        self._backend = guard.backend
        tokenizer = self._backend.loaded.tokenizer
        self._yes = _single_tokens(tokenizer, "yes")
        self._no = _single_tokens(tokenizer, "no")

    def score(self, pair: Pair) -> float:
        """Logit of no minus logit of yes at the first token of the answer to "would each source lead to the same?".

        Each is the log of the summed probability of its spellings: with and without a space or line break before it,
        in lower, title and upper case, those that are one token.
        """
        spans = tuple(
            ContextSpan(Span(f"s{number}", text), "text", language)
            for number, (text, language) in enumerate(zip(pair.texts, pair.languages, strict=True), start=1)
        )
        prompt = self._backend.encode(Context(spans, pair.question), Prompt.EXPLICIT)
        session = self._backend.open(prompt, Stop())
        try:
            branch = Branch("explicit", prompt.joint_tail, AttentionBias())
            scored = session.score([(branch, (token,)) for token in (*self._no, *self._yes)])
        finally:
            session.close()
        logprobs = [logprob for (logprob,) in scored]
        return _log_sum(logprobs[: len(self._no)]) - _log_sum(logprobs[len(self._no) :])


def _single_tokens(tokenizer: Any, word: str) -> tuple[int, ...]:
    encoded = (
        tokenizer(spelling, add_special_tokens=False)["input_ids"]
        for spelling in _SPELLINGS
        if spelling.strip().lower() == word
    )
    found = sorted({ids[0] for ids in encoded if len(ids) == 1})
    if not found:
        raise ValueError(f"the tokenizer has no single token for {word!r}, so its logit cannot be read")
    return tuple(found)


def _log_sum(logprobs: Sequence[float]) -> float:
    highest = max(logprobs)
    return highest + math.log(sum(math.exp(logprob - highest) for logprob in logprobs))
