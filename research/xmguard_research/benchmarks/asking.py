"""A question over sources as one chat message, for every model that inspect_ai can ask.

Models of other providers read the sources and the task as they stand; ours read the same as a request, which travels as
the message's metadata, with the words to ask in where these are not the model's own, and without the bytes of pictures:
those are in the message itself. Knows no suite and no model.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

from xmguard import AnswerRequest, Media, OnConflict, OnError, Span, wire
from xmguard.prompt_text import QUESTION, PromptText
from xmguard.request import Prompt
from xmguard_research.benchmarks.protocol import from_words, to_words

REQUEST = "xmguard_request"
"""Key of the metadata: the request in canonical proto3 JSON, its media without data."""
WORDS = "xmguard_words"
"""Key of the metadata: the words of a prompt, as `protocol.to_words` writes them; absent where a model of ours asks in
its own."""
_KEPT = 16
"""Pictures of one item follow each other, under several prompts: their text is one object."""


def message(request: AnswerRequest, said: PromptText, *, own: bool = True) -> ChatMessageUser:
    """The request as any model reads it: the sources in order, then the task.

    The joint answer is asked for in the model's own words, whatever the verdict: `on_conflict` PLAIN, `on_error` OPEN.

    Args:
        request: the sources, the question and the prompt.
        said: the words around them.
        own: whether these are the words in which models of ours ask by themselves.
    """
    request = replace(request, on_conflict=OnConflict.PLAIN, on_error=OnError.OPEN)
    parts: list[ContentText | ContentImage] = []
    for is_text, pieces in groupby(_pieces(request, said), key=lambda piece: isinstance(piece, str)):
        if is_text:
            text = "".join(map(str, pieces))
            # Between two pictures: providers refuse a text of nothing but blanks, and lay pictures out themselves.
            parts += [ContentText(text=text)] if text.strip() else []
        else:
            parts += [piece for piece in pieces if isinstance(piece, ContentImage)]
    bare = replace(request, spans=tuple(_with_data(span, lambda: b"") for span in request.spans))
    metadata: dict[str, object] = {REQUEST: wire.to_json(bare, indent=None)}
    return ChatMessageUser(content=list(parts), metadata=metadata if own else metadata | {WORDS: to_words(said)})


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


def words_of(message: ChatMessageUser) -> PromptText | None:
    """The words in which a model of ours is to ask; None for its own.

    Raises:
        InvalidRequest: what the message carries is no such words.
    """
    carried = (message.metadata or {}).get(WORDS)
    return None if carried is None else from_words(carried, WORDS)


def _pieces(request: AnswerRequest, said: PromptText) -> Iterator[str | ContentImage]:
    yield said.preamble
    for index, span in enumerate(request.spans):
        if index:
            yield said.separator
        yield (span.text or "") if span.media is None else ContentImage(image=_uri(span.media))
    yield said.tasks[request.prompt or Prompt.STANDARD].replace(QUESTION, request.question)


def _with_data(span: Span, data: Callable[[], bytes]) -> Span:
    """The span with other bytes, asked for only where it holds media."""
    return span if span.media is None else replace(span, media=replace(span.media, data=data()))


@lru_cache(maxsize=_KEPT)
def _uri(media: Media) -> str:
    return f"data:{media.media_type};base64,{b64encode(media.data).decode('ascii')}"


def _data(uri: str) -> bytes:
    return b64decode(uri.partition(",")[2])
