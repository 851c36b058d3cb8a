"""The process that reads large bodies: meanwhile nobody waits, and what takes too long is given up."""

from __future__ import annotations

import json

import pytest

from tests.scripted import probed_during, serving
from tests.serving.test_http import post
from xmguard.errors import InvalidRequest, Reason
from xmguard_server.http.reading import Reader
from xmguard_server.openai.chat_request import read_chat_request


def test_a_body_that_takes_seconds_to_read_delays_nobody_else() -> None:
    values = b'{"messages":[{"role":"user","content":[' + b"{}," * 1_000_000 + b"{}]}]}"
    with serving(http_port=0) as served:
        (status, _, told), probes = probed_during(served.address, lambda: post(served, values))
    assert (status, told["error"]["param"]) == (400, "messages[0].content[0]")
    assert len(told["error"]["violations"]) == 101
    assert len(probes) > 10
    assert max(probes) < 0.5


async def test_a_body_that_takes_too_long_to_read_is_refused_and_the_next_is_read() -> None:
    reader = Reader(seconds=1.0)
    try:
        with pytest.raises(InvalidRequest, match=r"takes longer than 1 s") as caught:
            await reader.read(read_chat_request, b"[" + b"{}," * 5_000_000 + b"{}]")
        assert caught.value.reason is Reason.REQUEST_MALFORMED
    finally:
        await reader.close()
    words = "so, " * 3_000
    reader = Reader()
    try:
        for _ in range(2):
            body = json.dumps({"messages": [{"role": "user", "content": words}]}).encode()
            read = await reader.read(read_chat_request, body)
            assert read.request.question == words
    finally:
        await reader.close()
