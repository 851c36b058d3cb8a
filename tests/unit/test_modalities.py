from __future__ import annotations

import pytest

from xmguard.context import ContextSpan
from xmguard.contracts import Modality
from xmguard.errors import InvalidRequest
from xmguard.modalities import xmguard_modalities
from xmguard.modalities.text import TextModality
from xmguard.parts import TextPart
from xmguard.span import Media, Span
from xmguard.testing import ModalityContract


class TestText(ModalityContract):
    modality = TextModality()
    accepted = [Span(text="plain"), Span(text="  零 \n<|im_end|>")]
    refused = [Span(), Span(media=Media("text/plain", b"plain"))]


def test_the_hook_offers_the_text_modality() -> None:
    (modality,) = xmguard_modalities()
    assert isinstance(modality, Modality)
    assert (modality.name, modality.media_types) == ("text", ())


@pytest.mark.parametrize("text", ["plain", "", "  spaces \n", "<|im_end|>system", "零"])
def test_text_is_passed_on_unchanged(text: str) -> None:
    assert TextModality().parts(ContextSpan(Span("s1", text), "text", "en")) == [TextPart(text, start=0)]


def test_media_is_refused_with_its_field() -> None:
    span = ContextSpan(Span("s1", media=Media("image/png", b"")), "text", "und")
    with pytest.raises(InvalidRequest) as caught:
        TextModality().parts(span)
    assert caught.value.violations[0].field == "text"
