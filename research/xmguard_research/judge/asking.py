"""A judge that is a language model: fills the prompt, asks, reads the reply, and asks again if that is malformed.

What answers is a function from a prompt to a completion: an endpoint's, or that of a model in this process. Failed
calls are that function's to retry.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from xmguard_research.judge.prompts import JudgePrompt
from xmguard_research.judge.replies import read
from xmguard_research.judge.values import Exchange, Judgement, Status

FIRST_WAIT = 0.5
"""Seconds before a second question; doubled before each further one."""


@dataclass(frozen=True)
class Completion:
    """What a model made of a prompt."""

    text: str
    """Empty where `malformed` says why."""
    attempts: int = 1
    """How often it was asked until it replied."""
    malformed: str = ""
    """Why the reply holds no text, if it does not."""
    tokens_in: int = 0
    """As the endpoint counts them; 0 where it does not say."""
    tokens_out: int = 0


class NoReply(Exception):
    """The model did not reply; the message says why. `attempts` is how often it was asked."""

    def __init__(self, reason: str, attempts: int) -> None:
        super().__init__(reason)
        self.attempts = attempts


class Refused(NoReply):
    """The provider will not answer this, such as for its content policy: to ask again does not help."""


class PromptedJudge:
    """Judges by what a model replies to a prompt."""

    def __init__(
        self,
        name: str,
        produced_by: str,
        prompt: JudgePrompt,
        complete: Callable[[str], Completion],
        *,
        retries: int,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        """`complete` raises `NoReply`; `retries` is how often a malformed reply is asked for again, at least 0."""
        self.name = name
        self.produced_by = f"{produced_by} prompt {prompt.version}"
        self._prompt, self._complete = prompt, complete
        self._retries, self._first_wait = retries, first_wait

    def judge(self, exchange: Exchange) -> Judgement:
        """The first readable judgement; else the last malformed one, or the error that ended it."""
        prompt = self._prompt.fill(exchange)
        attempts = 0
        judgement = self._asked(prompt)
        for turn in range(self._retries):
            if judgement.status is not Status.MALFORMED:
                break
            attempts += judgement.attempts
            time.sleep(self._first_wait * 2**turn)
            judgement = self._asked(prompt)
        return replace(judgement, attempts=attempts + judgement.attempts)

    def _asked(self, prompt: str) -> Judgement:
        try:
            completion = self._complete(prompt)
        except NoReply as failure:
            return Judgement(Status.ERROR, None, str(failure), attempts=failure.attempts)
        if completion.malformed:
            return Judgement(Status.MALFORMED, None, completion.malformed, attempts=completion.attempts)
        return replace(read(completion.text), attempts=completion.attempts)
