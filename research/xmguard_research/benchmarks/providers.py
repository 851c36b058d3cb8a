"""xmguard as models of inspect_ai: `xmguard/NAME` in this process, `xmguard-server/HOST:PORT` over gRPC.

A message of `asking.message` is answered as the request it carries; any other chat is refused, because there is
nothing in it to guard. Where the message brings the words to ask in, a model in this process asks in them, and a served
one, which cannot, refuses. What a response holds beside its words travels in the output's metadata. Knows no suite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageUser,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    modelapi,
)

from xmguard import AnswerRequest, AnswerResponse, AsyncClient, Guard, load_plugins, wire
from xmguard.errors import InvalidRequest, XmguardError
from xmguard.prompt_text import PromptText
from xmguard.request import Decoding
from xmguard.response import FinishReason
from xmguard_research.benchmarks.asking import request_of, words_of
from xmguard_research.benchmarks.protocol import OWN
from xmguard_research.benchmarks.queueing import SharedQueue
from xmguard_research.benchmarks.wording import rewordable

RESPONSE = "xmguard_response"
"""Key of the output's metadata: the response in canonical proto3 JSON."""
WAITING = 12
"""Requests that may wait for a model of ours: three prompts of four cases."""
_STOPPED: dict[FinishReason, StopReason] = {FinishReason.LENGTH: "max_tokens"}


class _Xmguard(ModelAPI):
    """What both have in common."""

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002  # inspect's own name
        tools: Sequence[Any],
        tool_choice: Any,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer the request of the last message.

        Raises:
            InvalidRequest: there is none in it, or tools are offered.
            XmguardError: what the guard or the server says.
        """
        last = input[-1]
        request = request_of(last) if isinstance(last, ChatMessageUser) else None
        if request is None or not isinstance(last, ChatMessageUser) or tools:
            raise InvalidRequest.field("messages", "must end with a request of xmguard's suites, and offer no tools")
        return output(self.model_name, await self.ask(_decoded(request, config), words_of(last)))

    async def ask(self, request: AnswerRequest, said: PromptText | None) -> AnswerResponse:
        """The response to a request, asked in some words; None for the model's own."""
        raise NotImplementedError


class InProcess(_Xmguard):
    """A model that is loaded here: `xmguard/smollm2`, `xmguard/FOLDER`."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # inspect's own signature
        **arguments: Any,
    ) -> None:
        """`arguments` are `load_guard`'s: `-M profile=FOLDER`."""
        super().__init__(model_name, base_url, api_key, [], config)
        self._queue = SharedQueue(partial(_load, model_name, arguments))

    def max_connections(self) -> int:
        """As many as wait for each other: the prompts of some cases, which are answered together."""
        return WAITING

    async def ask(self, request: AnswerRequest, said: PromptText | None) -> AnswerResponse:
        """In a thread, so that the progress bar moves."""
        return await asyncio.wrap_future(self._queue.put(replace(request, model=""), said))


class Served(_Xmguard):
    """A model behind a server: `xmguard-server/127.0.0.1:50051`."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # inspect's own signature
        timeout: float = 300.0,
    ) -> None:
        """`timeout` is in seconds, for each request."""
        super().__init__(model_name, base_url, api_key, [], config)
        self._timeout = timeout

    def should_retry(self, ex: BaseException) -> bool:
        """A server that is busy or starting is asked again."""
        return isinstance(ex, XmguardError) and ex.retry_after is not None

    async def ask(self, request: AnswerRequest, said: PromptText | None) -> AnswerResponse:
        """Over a connection of its own: a client belongs to one event loop.

        Raises:
            InvalidRequest: it is to be asked in other words than its own.
        """
        if said is not None:
            raise InvalidRequest.field(
                "protocol",
                f"a served model asks in its own words; load it here (xmguard/NAME), or use --protocol {OWN}",
            )
        async with AsyncClient(self.model_name, timeout=self._timeout) as client:
            return await client.answer(replace(request, model=""))


def output(model: str, response: AnswerResponse) -> ModelOutput:
    """A response as inspect logs it: the model's own words, and everything else beside them."""
    made = ModelOutput.from_content(
        model, response.raw_answer, stop_reason=_STOPPED.get(response.finish_reason, "stop")
    )
    usage = response.usage
    made.usage = ModelUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )
    made.metadata = {RESPONSE: wire.to_json(response, indent=None)}
    return made


def response_of(output: ModelOutput) -> AnswerResponse | None:
    """What a model of ours answered; None if it was another's."""
    carried = (output.metadata or {}).get(RESPONSE)
    return None if carried is None else wire.from_json(AnswerResponse, str(carried))


@modelapi(name="xmguard")
def xmguard() -> type[ModelAPI]:
    """A model in this process."""
    return InProcess


@modelapi(name="xmguard-server")
def xmguard_server() -> type[ModelAPI]:
    """A model behind a server."""
    return Served


def _load(name: str, arguments: dict[str, Any]) -> Guard:
    from xmguard.loading import load_guard

    told: dict[str, Any] = {key: Path(value) if key == "profile" else value for key, value in arguments.items()}
    return load_guard(name, registry=rewordable(load_plugins()), **told)


def _decoded(request: AnswerRequest, config: GenerateConfig) -> AnswerRequest:
    """The request, decoded as inspect is told to where it is told anything."""
    own = request.decoding
    return replace(
        request,
        decoding=Decoding(
            own.max_tokens if config.max_tokens is None else config.max_tokens,
            own.temperature if config.temperature is None else config.temperature,
            own.seed if config.seed is None else config.seed,
        ),
    )
