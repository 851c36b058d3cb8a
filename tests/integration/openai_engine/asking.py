"""Sources that the double of an API understands, and a guard over it."""

from __future__ import annotations

from contextlib import contextmanager

from tests.chat_api import MODEL
from xmguard.loading import load_guard
from xmguard.request import AnswerRequest
from xmguard.span import Span

OLD, NEW = "The bridge opened in 1912.", "It opened in 1931, they say."


def asking(*texts: str, **fields: object) -> AnswerRequest:
    spans = tuple(Span(id=f"s{number}", text=text, language="en") for number, text in enumerate(texts, 1))
    return AnswerRequest(spans=spans, question="When did the bridge open?", **fields)


@contextmanager
def guarding(api, registry, **options):
    guard = load_guard(MODEL, engine="openai", options={"base_url": api.url, **options}, registry=registry)
    try:
        yield guard
    finally:
        guard.backend.close()
