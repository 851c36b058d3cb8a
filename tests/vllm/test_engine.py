"""The front's engine without vLLM's processes: what it makes of what it hears from them."""

import time
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest
import zmq

from xmguard.backends.vllm.engine import Engine
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens
from xmguard.deadline import Stop
from xmguard.errors import EngineError

SPEC = ReadingSpec("one", SpanMap((SpanTokens("a", 0, 4),), 8), 12)


class Silent:
    """Stands where AsyncLLM does: it says nothing."""

    errored = False

    def shutdown(self, timeout):
        """Nothing runs."""


class Noting(Silent):
    """Notes the prompts it is given."""

    def __init__(self):
        self.prompts = []

    async def generate(self, prompt, params, request_id):
        self.prompts.append(prompt)
        for output in ():
            yield output


@pytest.mark.parametrize("salted", [True, False])
def test_where_blocks_are_keyed_in_an_unknown_way_a_reading_shares_none_of_its_own(salted):
    llm = Noting()
    engine = Engine(lambda address: llm, salted=salted)
    lifted = [replace(SPEC, id=f"lifted {bias}", bias=AttentionBias({"a": bias})) for bias in (1.0, 1.0, 2.0)]
    measured = replace(SPEC, id="measured", measured=True)
    for spec in (SPEC, *lifted, measured):
        running = engine.submit(range(12), SimpleNamespace(), spec, Stop(10))
        running.finished()
        engine.drop(running)
    engine.close()
    plain, one, same, other, own = (prompt.get("cache_salt") for prompt in llm.prompts)
    assert plain is None
    if salted:
        assert one == same
        assert len({one, other, own, None}) == 4
    else:
        assert {one, same, other, own} == {None}


@pytest.fixture
def engine():
    addresses = []

    def start(address):
        addresses.append(address)
        return Silent()

    engine = Engine(start)
    engine.address = addresses[0]
    yield engine
    engine.close()


@pytest.mark.parametrize("message", [b"\xc1", msgspec.msgpack.encode({"kind": "token"})], ids=["no map", "no id"])
def test_an_engine_whose_workers_cannot_be_understood_any_more_has_failed(engine, message):
    assert not engine.failure
    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.connect(engine.address)
    socket.send(message)
    end = time.monotonic() + 10
    while not engine.failure:
        assert time.monotonic() < end
        time.sleep(0.02)
    socket.close()
    assert "cannot be read any more" in engine.failure
    with pytest.raises(EngineError, match="cannot be read any more"):
        engine.submit([1, 2], SimpleNamespace(), SPEC, Stop())
