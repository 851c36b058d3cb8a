"""From what the guard says to chat completions, whole or in chunks.

Every `xmguard` object is the contract's JSON of AnswerResponse: all of its fields in a whole completion and in the last
chunk of a stream, those known by then in earlier ones. Knows no HTTP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xmguard import wire
from xmguard.response import AnswerResponse, ConflictVerdict, Delta, Done, Event, FinishReason, ModelInfo, Usage

FINISH_REASONS: Mapping[FinishReason, str] = {
    FinishReason.UNSPECIFIED: "stop",
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.ABSTAINED: "content_filter",
    FinishReason.CLOSED: "content_filter",
}
"""OpenAI's word for an answer that was withheld is content_filter; `xmguard.finishReason` says which of the two."""

END = b"data: [DONE]\n\n"


class Completion:
    """Writes one request's completion."""

    def __init__(self, request_id: str, model: str, warnings: tuple[str, ...]) -> None:
        """`warnings` are of the request's form; the guard does not know of them."""
        self._warnings = warnings
        self._head = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}

    def whole(self, response: AnswerResponse) -> dict[str, Any]:
        """The completion in one piece."""
        message = {"role": "assistant", "content": response.answer, "refusal": None}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [_choice("message", message, FINISH_REASONS[response.finish_reason])],
            "usage": _usage(response.usage),
            "xmguard": self._data(response),
        }

    def chunk(self, event: Event) -> dict[str, Any]:
        """An event of the stream."""
        if isinstance(event, Delta):
            return self._chunk({"content": event.text})
        if isinstance(event, Done):
            final = FINISH_REASONS[event.response.finish_reason]
            return self._chunk({}, final, self._data(event.response))
        if isinstance(event, ConflictVerdict):
            return self._chunk({}, None, wire.to_data(AnswerResponse(verdict=event)))
        known = AnswerResponse(request_id=event.request_id, spans=event.spans)
        return self._chunk({"role": "assistant", "content": ""}, None, wire.to_data(known))

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The chunk after the last, for callers that ask for it."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(usage)}

    def _data(self, response: AnswerResponse) -> dict[str, Any]:
        return wire.to_data(replace(response, warnings=(*response.warnings, *self._warnings)))

    def _chunk(
        self, delta: dict[str, Any], finish_reason: str | None = None, known: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        chunk = {
            **self._head,
            "object": "chat.completion.chunk",
            "choices": [_choice("delta", delta, finish_reason)],
            "usage": None,
        }
        return chunk if known is None else {**chunk, "xmguard": known}


def model_entry(info: ModelInfo, created: int) -> dict[str, Any]:
    """A model as the list of models has it; `xmguard` is the contract's JSON of GetModelResponse."""
    return {
        "id": info.model,
        "object": "model",
        "created": created,
        "owned_by": "xmguard",
        "xmguard": wire.to_data(info),
    }


def server_sent(data: Mapping[str, Any]) -> bytes:
    """One server-sent event. In ASCII: some clients end lines at separators that JSON does not escape."""
    return b"data: " + json.dumps(data, separators=(",", ":")).encode("ascii") + b"\n\n"


def _choice(key: str, content: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, key: content, "logprobs": None, "finish_reason": finish_reason}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
