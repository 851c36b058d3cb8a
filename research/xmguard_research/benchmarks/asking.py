"""A question over sources as one chat message, for every model that inspect_ai can ask.

Models of other providers read the sources and the task as they stand; ours read the same as a request, which travels as
the message's metadata, without the bytes of pictures: those are in the message itself. The wording is xmguard's own
prompt text. Knows no suite and no model.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

from xmguard import AnswerRequest, Media, OnConflict, OnError, Span, wire
from xmguard.prompt_text import QUESTION, PromptText
from xmguard.request import Prompt

REQUEST = "xmguard_request"
"""Key of the metadata: the request in canonical proto3 JSON, its media without data."""
_KEPT = 16
"""Pictures of one item follow each other, under several prompts: their text is one object."""


def message(request: AnswerRequest, said: PromptText) -> ChatMessageUser:
    """The request as any model reads it: the sources in order, then the task.

    The joint answer is asked for in the model's own words, whatever the verdict: `on_conflict` PLAIN, `on_error` OPEN.
    """
    request = replace(request, on_conflict=OnConflict.PLAIN, on_error=OnError.OPEN)
    parts: list[ContentText | ContentImage] = [ContentText(text=said.preamble)]
    for span in request.spans:
        if span.media is None:
            parts.append(ContentText(text=span.text or ""))
        else:
            parts.append(ContentImage(image=_uri(span.media)))
    task = said.tasks[request.prompt or Prompt.STANDARD].replace(QUESTION, request.question)
    parts.append(ContentText(text=task))
    bare = replace(request, spans=tuple(_with_data(span, lambda: b"") for span in request.spans))
    return ChatMessageUser(content=list(parts), metadata={REQUEST: wire.to_json(bare, indent=None)})


def request_of(message: ChatMessageUser) -> AnswerRequest | None:
    """The request that a message carries; None if it carries none.

    Raises:
        InvalidRequest: what it carries is no request.
    """
    carried = (message.metadata or {}).get(REQUEST)
    if carried is None:
        return None
    request = wire.from_json(AnswerRequest, str(carried))
    pictures = (part.image for part in message.content if isinstance(part, ContentImage))
    return replace(request, spans=tuple(_with_data(span, lambda: _data(next(pictures))) for span in request.spans))


def _with_data(span: Span, data: Callable[[], bytes]) -> Span:
    """The span with other bytes, asked for only where it holds media."""
    return span if span.media is None else replace(span, media=replace(span.media, data=data()))


@lru_cache(maxsize=_KEPT)
def _uri(media: Media) -> str:
    return f"data:{media.media_type};base64,{b64encode(media.data).decode('ascii')}"


def _data(uri: str) -> bytes:
    return b64decode(uri.partition(",")[2])
