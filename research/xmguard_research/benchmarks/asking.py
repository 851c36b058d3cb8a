"""A question over sources as one chat message, for every model that inspect_ai can ask.

Models of other providers read the sources and the task as they stand; ours read the same as a request, which travels as
the message's metadata. The wording is xmguard's own prompt text. Knows no suite and no model.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

from xmguard import AnswerRequest, OnConflict, OnError, wire
from xmguard.prompt_text import QUESTION, PromptText
from xmguard.request import Prompt

REQUEST = "xmguard_request"
"""Key of the metadata: the request in canonical proto3 JSON."""


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
            data = b64encode(span.media.data).decode("ascii")
            parts.append(ContentImage(image=f"data:{span.media.media_type};base64,{data}"))
    task = said.tasks[request.prompt or Prompt.STANDARD].replace(QUESTION, request.question)
    parts.append(ContentText(text=task))
    return ChatMessageUser(content=list(parts), metadata={REQUEST: wire.to_json(request, indent=None)})


def request_of(message: ChatMessageUser) -> AnswerRequest | None:
    """The request that a message carries; None if it carries none.

    Raises:
        InvalidRequest: what it carries is no request.
    """
    carried = (message.metadata or {}).get(REQUEST)
    return None if carried is None else wire.from_json(AnswerRequest, str(carried))
