"""Prompts exactly as xmguard serves them, with the answers that should follow.

The encoder is the served one; a picture is the run of its placeholders, as the model's processor expands it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xmguard import Span
from xmguard.backends.prompting import PromptEncoder
from xmguard.context import ENGLISH, Context, ContextSpan
from xmguard.plugins import Registry
from xmguard.prompt_text import QUESTION
from xmguard.request import Prompt
from xmguard_research.scenes import Mark


@dataclass(frozen=True)
class Asked:
    """A question, what should be answered, and what it tests."""

    text: str
    answer: str
    skill: str
    joint: bool = False
    """Put as the joint answer's task; otherwise as a span that is read alone."""


@dataclass(frozen=True)
class Branch:
    """One way to go on after a context."""

    tail: tuple[int, ...]
    """The task, and what begins the reply."""
    answer: tuple[int, ...]
    """With the token that ends it: what is learned."""
    asked: Asked


@dataclass(frozen=True)
class Conversation:
    """A context that is read once, and everything asked of it; no branch sees another."""

    context: tuple[int, ...]
    picture: int | None
    """Index of the picture whose cells the placeholders stand for; None where there are none."""
    branches: tuple[Branch, ...]

    @property
    def tokens(self) -> int:
        """Of context and branches, the answers' last tokens left out: nothing is read after them."""
        return len(self.context) + sum(len(branch.tail) + len(branch.answer) - 1 for branch in self.branches)


class Prompter:
    """Makes conversations for one processor."""

    def __init__(self, processor: Any, registry: Registry) -> None:
        self._encoder = PromptEncoder(processor.tokenizer, registry, "smolvlm-tiny")
        self._image = (processor.image_token_id,) * processor.image_seq_length
        self._said = registry.languages.items[ENGLISH].prompt_text
        self._end: int = processor.tokenizer.eos_token_id
        context = Context((ContextSpan(Span("s1", "x", language="en"), "text", "en"),), "x")
        encoded = self._encoder.encode(context, Prompt.STANDARD)
        self._start = encoded.context_ids[: encoded.span_map.spans[0].start]

    def conversation(
        self, spans: Sequence[str | None], asked: Sequence[Asked], picture: int | None = None
    ) -> Conversation:
        """`spans` are texts, or None where the picture goes; there is at most one."""
        context = list(self._start)
        for index, span in enumerate(spans):
            if index:
                context += self._encoder.ids(self._said.separator)
            context += self._image if span is None else self._encoder.ids(span)
        return Conversation(tuple(context), picture, tuple(self._branch(one) for one in asked))

    def words(self, mark: Mark) -> list[int]:
        """Tokens of a mark's words as they are answered: in lower case, a word with a blank before it."""
        return [
            token for word in mark.words for token in self._encoder.ids(f"{'' if mark.spelled else ' '}{word.lower()}")
        ]

    def _branch(self, asked: Asked) -> Branch:
        if asked.joint:
            tail = self._encoder.tail(self._said.tasks[Prompt.STANDARD].replace(QUESTION, asked.text))
            answer = self._encoder.ids(asked.answer)
        else:
            tail = self._encoder.tail(self._said.alone_task.replace(QUESTION, asked.text), self._said.alone_opening)
            answer = self._encoder.ids(f" {asked.answer}")
        return Branch(tail, (*answer, self._end), asked)
