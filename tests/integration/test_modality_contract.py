"""The contract of modalities notices each way in which a modality can go wrong."""

import re
import warnings
from pathlib import Path

import pytest

from xmguard.errors import InvalidRequest
from xmguard.parts import ImagePart, TextPart
from xmguard.span import Media, Span
from xmguard.testing import ModalityContract

DOT = Span(media=Media("image/x-dot", bytes(48)))
BAD = Span(media=Media("image/x-dot", b""))
LETTER = Span("s1", "a letter")


def refuse(field="media.data", words="holds no dot; send 48 bytes"):
    raise InvalidRequest.field(field, words)


class Dots:
    """Reads pictures of four by four pixels, or does what a test tells it to."""

    name = "dots"
    media_types = ("image/x-dot",)

    def __init__(self, parts=None, **attributes):
        self.given, self.calls = parts, 0
        vars(self).update(attributes)

    def parts(self, span):
        self.calls += 1
        if span.span.media is None or len(span.span.media.data) != 48:
            refuse()
        return self.given(self, span.span) if self.given else [ImagePart(4, 4, span.span.media.data)]


class Letters(Dots):
    name = "letters"
    media_types = ()

    def parts(self, span):
        if span.span.text is None:
            refuse("text")
        return self.given(self, span.span)


def contract(modality, accepted=(DOT,), refused=(BAD,)):
    class Tests(ModalityContract):
        pass

    Tests.modality, Tests.accepted, Tests.refused = modality, accepted, refused
    return Tests()


def mutable(modality, span):
    return [ImagePart(4, 4, bytearray(span.media.data))]


def counting(modality, span):
    return [ImagePart(4, 4, bytes([modality.calls % 251]) * 48)]


def by_name(modality, span):
    return [TextPart(span.id)]


def noisy(modality, span):
    warnings.warn("looks odd", UserWarning, stacklevel=1)
    return [TextPart("dot")]


def fragile(modality, span):
    return {0: [TextPart("dot")]}[max(span.media.data)]


WANTED = {
    "parts": "test_parts_are_what_engines_encode",
    "pure": "test_reading_is_pure",
    "damaged": "test_damaged_media_are_read_or_refused",
}


@pytest.mark.parametrize(
    ("test", "parts"),
    [
        ("parts", lambda *_: []),
        ("parts", lambda *_: ["dot"]),
        ("parts", lambda *_: [TextPart("")]),
        ("parts", lambda *_: [TextPart("dot", start=0)]),
        ("parts", mutable),
        ("pure", counting),
        ("pure", by_name),
        ("parts", noisy),
        ("damaged", fragile),
        ("damaged", lambda _, span: refuse("spans[0].media") if any(span.media.data) else [TextPart("dot")]),
    ],
)
def test_a_broken_modality_does_not_pass(test, parts):
    with pytest.raises((AssertionError, UserWarning, KeyError)):
        getattr(contract(Dots(parts)), WANTED[test])(DOT)


@pytest.mark.parametrize("start", [1, -8, 99])
def test_a_text_that_is_not_cut_from_where_it_says_does_not_pass(start):
    tests = contract(Letters(lambda _, span: [TextPart("a letter", start=start)]), [LETTER])
    with pytest.raises(AssertionError):
        tests.test_parts_are_what_engines_encode(LETTER)


@pytest.mark.parametrize(
    "attributes",
    [
        {"name": ""},
        {"name": "Dots and more"},
        {"media_types": ["image/x-dot"]},
        {"media_types": ("x-dot",)},
        {"media_types": ("image/x-dot", "image/x-dot")},
        {"media_types": ("image/X-Dot",)},
        {"media_types": ("image/x-dot", "image/x-line")},
    ],
)
def test_a_modality_that_describes_itself_wrongly_does_not_pass(attributes):
    contract(Dots()).test_it_describes_itself()
    with pytest.raises(AssertionError):
        contract(Dots(**attributes)).test_it_describes_itself()


def test_a_modality_without_samples_does_not_pass():
    for samples in ({"accepted": ()}, {"refused": ()}):
        with pytest.raises(AssertionError):
            contract(Dots(), **samples).test_it_describes_itself()


def test_a_modality_whose_threads_share_what_they_write_does_not_pass():
    with pytest.raises(AssertionError, match="disturb"):
        contract(Dots(counting)).test_threads_read_at_the_same_time()


@pytest.mark.parametrize(("field", "words"), [("data", "is no dot"), ("spans[0]", "is no dot"), ("media", "a\nb")])
def test_a_refusal_without_a_field_of_the_span_does_not_pass(field, words):
    tests = contract(Dots(lambda *_: refuse(field, words)))
    with pytest.raises(AssertionError):
        tests.test_it_refuses_with_the_field(DOT)


def test_a_modality_that_takes_what_it_must_refuse_does_not_pass():
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract(Dots()).test_it_refuses_with_the_field(DOT)
    eager = contract(Letters(lambda *_: [TextPart("x")], media_types=("image/x-dot",)))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        eager.test_it_refuses_the_other_kind_of_content()


def pass_all(tests):
    """Every test of the contract, as pytest runs them."""
    for name in (name for name in dir(tests) if name.startswith("test_")):
        test = getattr(tests, name)
        wanted = set(test.__code__.co_varnames[: test.__code__.co_argcount])
        for span in tests.accepted if "wanted" in wanted else tests.refused if "bad" in wanted else [None]:
            test(*[span] * (len(wanted) - 1))


def test_a_sound_modality_passes_what_the_broken_ones_do_not():
    pass_all(contract(Dots()))


def test_the_modality_that_the_documents_show_passes():
    document = (Path(__file__).parents[2] / "plugins/README.md").read_text(encoding="utf-8")
    section = document.split("\n## A modality\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names: dict[str, type] = {}
    exec(example, names)
    pass_all(names["TestCsv"]())
