"""One request through every interface: what is asked of the guard, and what it answers, is the same."""

from __future__ import annotations

import json

import openai
from mcp import Client as McpClient

from tests.scripted import VERDICT, serving
from xmguard import wire
from xmguard.client import AsyncClient, Client
from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, Rebalance
from xmguard.response import AnswerResponse
from xmguard.span import Media, Span
from xmguard_server.mcp.tools import build

REQUEST = AnswerRequest(
    model="scripted",
    spans=(
        Span(id="a", text="It rose by 25%.", language="en", source="news"),
        Span(id="b", text="上升了15%。", language="zh"),
        Span(id="c", media=Media("image/png", b"\x00\xff")),
    ),
    question="By how much?",
    rebalance=Rebalance("fixed", bias={"a": float("-inf"), "b": 0.5}),
    on_conflict=OnConflict.PLAIN,
    decoding=Decoding(max_tokens=7, temperature=0.25, seed=2**63),
    detail=Detail(layers=True),
    conflict_threshold=0.25,
)


async def test_the_same_request_has_the_same_answer_everywhere() -> None:
    data = wire.to_data(REQUEST)
    chat = {
        "model": data.pop("model"),
        "messages": [{"role": "user", "content": data.pop("question")}],
        "max_completion_tokens": data["decoding"]["maxTokens"],
        "temperature": data["decoding"]["temperature"],
        "seed": int(data.pop("decoding")["seed"]),
        "extra_body": {"xmguard": data},
    }
    with serving(http_port=0) as served:
        with Client(served.address) as client:
            answers = [client.answer(REQUEST)]
        async with openai.AsyncOpenAI(base_url=f"{served.http_url}/v1", api_key="none", max_retries=0) as http:
            whole = (await http.chat.completions.create(**chat)).xmguard
            chunks = [chunk async for chunk in await http.chat.completions.create(**chat, stream=True)]
        async with McpClient(build(lambda token: AsyncClient(served.address))) as tools:
            told = (await tools.call_tool("answer", wire.to_data(REQUEST))).structured_content
        answers += [wire.from_json(AnswerResponse, json.dumps(data)) for data in (whole, chunks[-1].xmguard, told)]
        asked = [call[0] for call in served.guard.calls]
    assert asked == [REQUEST] * 4
    assert answers == [answers[0]] * 4
    assert answers[0].verdict == VERDICT
