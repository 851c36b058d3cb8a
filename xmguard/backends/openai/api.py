"""One model behind one API: streams its answers, tries again where that may help, and finds out what the API offers.

The `openai` client does HTTP and the framing of streams; attempts are made here, because a wait must end with the
request's deadline. Knows nothing of spans.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import openai

from xmguard.backends.openai.failures import Failures, retry_after
from xmguard.backends.openai.replies import Malformed, Piece, Reply
from xmguard.backends.openai.settings import KEY_VARIABLE, Settings
from xmguard.errors import InvalidRequest, XmguardError

FIRST_WAIT, MAX_WAIT = 0.5, 30.0
"""Seconds before the second attempt, twice as long before each further one; and the longest wait a server may ask."""
TRIAL = "Reply with the word ready."
TRIAL_TOKENS = 16


@dataclass(frozen=True)
class Offers:
    """What an API takes and gives, as its answer to a first call showed."""

    limit: str = "max_tokens"
    """The field that bounds an answer's tokens. The older name first: who does not know a field may ignore it."""
    temperature: bool = True
    logprobs: bool = True
    alternatives: int = 20
    """Likeliest tokens told at each place, at most."""
    usage: bool = True

    def without(self, said: str) -> Offers | None:
        """What is left to try when a call was refused with these words; None if they name nothing of it."""
        if "top_logprobs" in said and self.logprobs:
            return replace(self, alternatives=5) if self.alternatives > 5 else replace(self, logprobs=False)
        for mark, found, rest in (
            ("logprobs", self.logprobs, replace(self, logprobs=False)),
            ("temperature", self.temperature, replace(self, temperature=False)),
            ("stream_options", self.usage, replace(self, usage=False)),
            ("include_usage", self.usage, replace(self, usage=False)),
            ("max_tokens", self.limit == "max_tokens", replace(self, limit="max_completion_tokens")),
        ):
            if mark in said and found:
                return rest
        return None


@dataclass(frozen=True)
class Ask:
    """One call."""

    content: str | list[dict[str, Any]]
    """Of the one message, the user's."""
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None


class Api:
    """One model behind one API. All but the constructor runs in one event loop."""

    def __init__(self, model: str, settings: Settings) -> None:
        """Nothing is sent yet.

        Raises:
            InvalidRequest: the key in the environment is none.
        """
        key = os.environ.get(KEY_VARIABLE, "")
        if not all("!" <= character <= "~" for character in key):  # whoever fails to send it says it
            fault = "holds a space, a line break or a character that is not ASCII, as no key does; set it without"
            raise InvalidRequest.field(KEY_VARIABLE, fault)
        self.model = model
        self.settings = settings
        self.offers = Offers()
        self.served: dict[str, int] = {}
        """Names of the models that the API lists, to their context lengths; 0 where it does not tell."""
        self.failures = Failures(settings.base_url, model, key, settings.timeout)
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=key or "none",  # servers that need none want to be sent one all the same
            timeout=settings.timeout,
            max_retries=0,
        )
        self._places = asyncio.Semaphore(settings.parallel)

    async def look(self) -> None:
        """List the models, and make a first call that shows what the API offers.

        Raises:
            XmguardError: it does not answer; the message says what to do.
        """
        try:
            listed = await self._client.models.list()
            self.served = {str(one.id): _length(one) for one in listed.data}
        except openai.AuthenticationError as error:
            raise self.failures.told(error) from error
        except (openai.APIStatusError, AttributeError, TypeError):  # not every API lists its models, or in this form
            self.served = {}
        except (openai.OpenAIError, ValueError) as error:
            raise self.failures.told(error) from error
        reply = await self._tried()
        self.offers = replace(self.offers, usage=reply.tokens is not None)

    async def stream(self, ask: Ask, hear: Callable[[Piece], None], deadline: float | None) -> Reply:
        """Ask, hand over the answer piece by piece, and tell how it ended.

        Args:
            ask: what.
            hear: told of every piece.
            deadline: `time.monotonic` after which waiting is in vain; None is never.

        Raises:
            XmguardError: there is no answer, or no more of it; the message says what to do.
        """
        heard = False

        def hear_and_note(piece: Piece) -> None:
            nonlocal heard
            heard = True
            hear(piece)

        async with self._places:
            for attempt in range(self.settings.retries + 1):
                try:
                    return await self._attempt(ask, hear_and_note)
                except XmguardError:
                    raise
                except Exception as error:  # the client raises its own errors, and those of the transport below it
                    wait = self._wait(error, attempt)
                    # What was heard cannot be taken back: a second attempt would say it twice.
                    last = heard or attempt == self.settings.retries or not self.failures.is_passing(error)
                    late = deadline is not None and time.monotonic() + wait >= deadline
                    if last or late or wait > MAX_WAIT:
                        raise self.failures.told(error, begun=heard, served=list(self.served)) from error
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, ask: Ask, hear: Callable[[Piece], None]) -> Reply:
        stream: Any = await self._client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": ask.content}],
            stream=True,
            extra_body={**self.settings.request, **self._fields(ask)},
        )
        reply, chunks = Reply(), 0
        async with stream:
            async for chunk in stream:
                chunks += 1
                for piece in reply.take(chunk):
                    hear(piece)
        for piece in reply.rest():
            hear(piece)
        if not chunks:
            raise Malformed("its answer is no stream of events")
        if reply.finish == "content_filter":
            raise self.failures.filtered()
        if not reply.finish:
            raise self.failures.cut()
        return reply

    def _fields(self, ask: Ask) -> Mapping[str, Any]:
        offers = self.offers
        fields: dict[str, Any] = {offers.limit: ask.max_tokens}
        if offers.temperature:
            fields["temperature"] = ask.temperature
        if ask.seed is not None:
            fields["seed"] = ask.seed % 2**63  # as wide as JSON's readers take whole numbers
        if offers.logprobs:
            fields |= {"logprobs": True, "top_logprobs": offers.alternatives}
        if offers.usage:
            fields["stream_options"] = {"include_usage": True}
        return fields

    async def _tried(self) -> Reply:
        """The first call, made again without what the API refuses, each in turn."""
        while True:
            pieces: list[Piece] = []
            try:
                reply = await self.stream(Ask(TRIAL, TRIAL_TOKENS), pieces.append, None)
            except XmguardError as error:
                cause = error.__cause__
                status = getattr(cause, "status_code", None)
                said = f"{getattr(cause, 'param', '')} {getattr(cause, 'message', '')}"
                rest = self.offers.without(said) if status in (400, 422) else None
                if rest is None:
                    raise
                self.offers = rest
                continue
            self.offers = replace(self.offers, logprobs=self.offers.logprobs and reply.tells)
            if reply.reasoned and not pieces:
                raise self.failures.reasons(TRIAL_TOKENS)
            return reply

    @staticmethod
    def _wait(error: Exception, attempt: int) -> float:
        """Seconds until the next attempt."""
        headers = getattr(getattr(error, "response", None), "headers", {})
        asked = retry_after(headers)
        return FIRST_WAIT * 2**attempt * random.uniform(0.75, 1.25) if asked is None else asked


def _length(listed: Any) -> int:
    """The context length of a model in a list of models, as vLLM and its like tell it."""
    length = getattr(listed, "max_model_len", None)
    return length if type(length) is int and length > 0 else 0
