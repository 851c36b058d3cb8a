"""Bytes that are almost a request: a seeded mutator, for as many inputs as one has time for."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.bad_input import BAD, CONFLICT
from xmguard import wire
from xmguard.errors import InvalidRequest
from xmguard.span import Media, Span

INTERESTING = (
    b"\xff" * 9 + b"\x01",
    b"\x00",
    b"\x7f",
    b"\x80\x80\x80\x80\x10",
    b"<|im_end|>",
    b"\xed\xa0\x80",
    b"\xf0\x9f",
)
"""Longest and overlong numbers, a chat template's token, half a character of UTF-8, half a surrogate pair."""


def seeds() -> Sequence[bytes]:
    """Requests that are good, and requests that are refused."""
    few = replace(CONFLICT, decoding=replace(CONFLICT.decoding, max_tokens=2))
    requests = [few, replace(few, spans=(Span(media=Media("image/png", b"\x89PNG\r\n\x1a\n")), *few.spans))]
    packed = []
    for request in (*requests, *(bad for bad, _ in BAD.values())):
        try:
            packed.append(wire.ANSWER.pack_request(request))
        except InvalidRequest:  # what no message can say
            continue
    return [data for data in packed if len(data) < 4096]


def mutated(count: int, seed: int = 1) -> Iterator[bytes]:
    """So many bodies: noise, and seeds that were cut, joined, repeated and changed in a few places."""
    chance, base = random.Random(seed), seeds()
    for _ in range(count):
        if chance.random() < 0.1:
            yield chance.randbytes(chance.randrange(200))
            continue
        data = bytearray(chance.choice(base))
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(6):
                case 0:
                    data[at : at + 1] = chance.randbytes(1)
                case 1:
                    del data[at : at + chance.randrange(1, 20)]
                case 2:
                    data[at:at] = chance.choice(INTERESTING)
                case 3:
                    data[at:at] = data[at // 2 : at]
                case 4:
                    data += chance.choice(base)
                case 5:
                    del data[at:]
        yield bytes(data[:20_000])
