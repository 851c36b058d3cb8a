"""Media on its way through the guard, with a plugin that makes text of it, on a tiny real model."""

import pytest

from xmguard.backends.transformers.loader import load
from xmguard.errors import InvalidRequest
from xmguard.guard import Guard
from xmguard.hookspecs import hookimpl
from xmguard.parts import TextPart
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, Decoding, Detail, OnError
from xmguard.response import Status
from xmguard.span import Media, Span


class Notes:
    """Takes letters, and nothing else."""

    name = "notes"
    media_types = ("text/x-note",)

    def parts(self, span):
        data = span.span.media.data
        if not data.isalpha():
            raise InvalidRequest.field("media.data", "holds more than letters; send letters only")
        return [TextPart("A note says: "), TextPart(data.decode("ascii"))]

    @hookimpl
    def xmguard_modalities(self):
        return [self]


@pytest.fixture(scope="module")
def guard(tiny_folder):
    registry = load_plugins(extra={"notes": Notes()})
    return Guard(load(tiny_folder, registry=registry), registry, model="tiny")


def request(data=b"red", language=""):
    note = Span(media=Media("text/x-note", data), language=language)
    return AnswerRequest(
        spans=(note, Span(text="The door is blue.", language="en")),
        question="Which colour?",
        decoding=Decoding(max_tokens=8),
        on_error=OnError.OPEN,
        detail=Detail(alone_answers=True),
    )


def test_media_are_answered_checked_and_explained_like_text(guard):
    explained = guard.explain(request())
    for response in (guard.answer(request()), guard.check(request()), explained.response):
        assert [span.modality for span in response.spans] == ["notes", "text"]
        assert [span.language for span in response.spans] == ["und", "en"]
        assert all(span.tokens > 0 for span in response.spans)
        assert response.spans[0].contribution_before > 0.0
        assert response.verdict.status is not Status.ERROR
    assert explained.before.span_map.ids == ("s1", "s2")


def test_nobody_is_warned_that_media_has_no_language(guard):
    assert not [warning for warning in guard.check(request()).warnings if "language" in warning]
    text = AnswerRequest(spans=(Span(text="42"), Span(text="43")), question="q?")
    assert [warning for warning in guard.check(text).warnings if "language of s1, s2" in warning]


def test_media_that_the_plugin_refuses_are_named_from_the_request(guard):
    with pytest.raises(InvalidRequest) as caught:
        guard.answer(request(b"4 2"))
    (violation,) = caught.value.violations
    assert violation.field == "spans[0].media.data"
    assert violation.description == "holds more than letters; send letters only"
