"""The tests that every modality passes, the built-in one too.

    from xmguard.testing import ModalityContract

    class TestMine(ModalityContract):
        modality = Mine()
        accepted = [Span(media=Media("image/png", PNG))]
        refused = [Span(media=Media("image/png", PNG[:-1]))]

A modality is asked as engines ask it. Knows no modality and no file format.
"""

from __future__ import annotations

import copy
import random
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar

import pytest

from xmguard.context import ContextSpan
from xmguard.contracts import Modality
from xmguard.errors import InvalidRequest
from xmguard.parts import ImagePart, Part, TextPart
from xmguard.span import Media, Span
from xmguard.testing.contract import Contract, parametrized
from xmguard.validation import MEDIA_TYPE

THREADS = 4
DAMAGES = 64
"""Damaged copies that are made of each accepted media."""
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_FIELDS = re.compile(r"(text|media)(\.\w+)*")


class ModalityContract(Contract):
    """Inherit, set `modality`, `accepted` and `refused`, and pytest collects the rest."""

    modality: ClassVar[Modality]
    accepted: ClassVar[Sequence[Span]]
    """Spans it takes, at least one of each of its media types. Small ones: each is read some hundred times."""
    refused: ClassVar[Sequence[Span]]
    """Spans it must refuse, naming a field of `media`, or `text`."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per span."""
        self.check_attributes()
        for name, spans in (("wanted", self.accepted), ("bad", self.refused)):
            parametrized(metafunc, name, spans, [_id(index, span) for index, span in enumerate(spans)])

    def test_it_describes_itself(self) -> None:
        """A name, and the media types it takes, each with a sample."""
        assert isinstance(self.modality, Modality)
        assert _NAME.fullmatch(self.modality.name), "a name is lower-case letters, digits and hyphens"
        types = self.modality.media_types
        assert isinstance(types, tuple), "media types are a tuple, which nobody can change"
        for media_type in types:
            assert MEDIA_TYPE.fullmatch(media_type), f"{media_type} is no media type"
            assert media_type == media_type.lower(), "media types are compared as they are; write them in lower case"
        assert len(set(types)) == len(types), "a media type is named twice"
        sampled = {span.media.media_type for span in self.accepted if span.media is not None}
        assert sampled == set(types), "give an accepted span of each media type, and of no other"
        assert self.accepted, "give at least one accepted span"
        assert self.refused, "give at least one refused span"

    def test_parts_are_what_engines_encode(self, wanted: Span) -> None:
        """There is something in them, and a text that is cut from the span reads as it does there."""
        parts = self._parts(wanted)
        assert parts, "a span that is taken has at least one part"
        for part in parts:
            assert isinstance(part, TextPart | ImagePart)
        for part in parts:
            if isinstance(part, ImagePart):
                assert isinstance(part.rgb, bytes), "pixels are bytes, which nobody can change"
            elif part.start is not None:
                assert wanted.text is not None, "without a text there is none to be cut from; leave out start"
                assert part.start >= 0
                assert wanted.text[part.start : part.start + len(part.text)] == part.text
            else:
                assert part.text or len(parts) > 1, "an empty part says nothing"

    def test_reading_is_pure(self, wanted: Span) -> None:
        """Same span, same parts, whatever was read in between and whatever the span is called; it stays as it was."""
        kept = copy.deepcopy(wanted)
        first = self._parts(wanted)
        for other in (*self.accepted, *self.refused):
            self._try(other)
        named = replace(wanted, id="another", source="elsewhere")
        assert _equal(self._parts(wanted), first)
        assert _equal(self._parts(named), first)
        assert wanted == kept

    def test_threads_read_at_the_same_time(self) -> None:
        """A server may read several requests at once."""
        spans = [*self.accepted, *self.accepted]
        alone = [self._parts(span) for span in spans]
        together = threading.Barrier(THREADS)

        def read(start: int) -> list[Sequence[Part]]:
            together.wait()
            return [self._parts(span) for span in (*spans[start:], *spans[:start])]

        with ThreadPoolExecutor(THREADS) as pool:
            for start, read_together in enumerate(pool.map(read, [k % len(spans) for k in range(THREADS)])):
                shift = start % len(spans)
                for got, want in zip(read_together, (*alone[shift:], *alone[:shift]), strict=True):
                    assert _equal(got, want), "threads disturb each other"

    def test_it_refuses_with_the_field(self, bad: Span) -> None:
        """What cannot be read names a field of the span, in one line, never the modality's inside."""
        with pytest.raises(InvalidRequest) as caught:
            self._parts(bad)
        _check_refusal(caught.value)

    def test_it_refuses_the_other_kind_of_content(self) -> None:
        """Media where it reads text, and text where it reads media."""
        other = Span(text="x") if self.modality.media_types else Span(media=Media("application/x-none", b"x"))
        with pytest.raises(InvalidRequest) as caught:
            self._parts(other)
        _check_refusal(caught.value)

    def test_damaged_media_are_read_or_refused(self, wanted: Span) -> None:
        """Bytes come from anywhere: nothing but InvalidRequest may be raised, and no warning given."""
        for damaged in _damaged(wanted):
            self._try(damaged)

    def _parts(self, span: Span) -> Sequence[Part]:
        """The parts of a span, as the guard's context holds it; a warning is an error."""
        named = replace(span, id=span.id or "s1")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return self.modality.parts(ContextSpan(named, self.modality.name, span.language or "und"))

    def _try(self, span: Span) -> None:
        try:
            self._parts(span)
        except InvalidRequest as error:
            _check_refusal(error)


def _check_refusal(error: InvalidRequest) -> None:
    assert error.violations, "a refusal names what is wrong"
    for violation in error.violations:
        assert _FIELDS.fullmatch(violation.field), f"{violation.field} is no field of a span's content"
        assert violation.description.strip()
        assert violation.description.isprintable(), "a description is one line without control characters"


def _equal(one: Sequence[Part], other: Sequence[Part]) -> bool:
    return list(one) == list(other)


def _damaged(span: Span) -> Iterator[Span]:
    """The same span with media that is cut off, or a few bytes of which are others; always the same ones."""
    if span.media is None:
        return
    whole = span.media.data
    draw = random.Random(len(whole))
    for number in range(DAMAGES):
        data = bytearray(whole)
        if number % 2:
            del data[draw.randrange(len(data)) :]
        else:
            for _ in range(draw.randint(1, 4)):
                data[draw.randrange(len(data))] = draw.randrange(256)
        yield replace(span, media=Media(span.media.media_type, bytes(data)))


def _id(index: int, span: Span) -> str:
    """What distinguishes a span, as a test's name."""
    return f"{index} {span.media.media_type if span.media is not None else 'text'}"
