"""The front's engine without vLLM's processes: what it makes of what it hears from them."""

import asyncio
import tempfile
import threading
import time
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import msgspec
import pytest
import zmq

from xmguard.backends.vllm.engine import Engine
from xmguard.backends.vllm.sealing import sealed
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens
from xmguard.deadline import Stop
from xmguard.errors import EngineError, SetupIncomplete

SPEC = ReadingSpec("one", SpanMap((SpanTokens("a", 0, 4),), 8), 12)


@pytest.fixture(scope="module", autouse=True)
def imported():
    """What the engine's thread uses of vLLM's, so that no request waits for its import."""
    import_module("vllm.v1.engine.exceptions")


class Silent:
    """Stands where AsyncLLM does: it says nothing."""

    errored = False

    async def generate(self, prompt, params, request_id):
        await asyncio.Event().wait()
        yield

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
    engine = Engine(lambda channel: llm, salted=salted)
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


class Deaf(Silent):
    """Its workers die over what they are asked."""

    async def collective_rpc(self, method, timeout, args):
        Deaf.errored = True
        await asyncio.Event().wait()


def test_who_asks_workers_that_die_over_it_is_told_so(monkeypatch):
    monkeypatch.setattr(Deaf, "errored", False, raising=False)
    engine = Engine(lambda channel: Deaf())
    asked = time.monotonic()
    with pytest.raises(EngineError, match="vLLM's processes ended; a server loads the model again by itself"):
        engine.call("xmguard_generated", ["one"])
    assert time.monotonic() - asked < 2
    engine.close()


def test_a_temporary_folder_in_which_no_socket_fits_is_named_as_what_is_wrong(tmp_path, monkeypatch):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(SetupIncomplete, match="let TMPDIR name another folder, with a short path"):
        Engine(lambda channel: Silent())


def heard(**how):
    """An engine, with the channel on which its workers would tell."""
    channels = []

    def start(channel):
        channels.append(channel)
        return Silent()

    engine = Engine(start, **how)
    engine.channel = channels[0]
    return engine


@pytest.fixture
def engine():
    engine = heard()
    yield engine
    engine.close()


@pytest.mark.parametrize("machines", [False, True], ids=["on this machine", "on several"])
def test_who_is_no_worker_is_not_heard(machines, monkeypatch, caplog):
    monkeypatch.setenv("VLLM_HOST_IP", "127.0.0.1")
    engine = heard(machines=machines)
    address, secret = engine.channel["address"], engine.channel["secret"]
    assert address.startswith("tcp://127.0.0.1:" if machines else "ipc://")
    running = engine.submit(range(12), SimpleNamespace(), SPEC, Stop(10))
    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.connect(address)
    message, told = ({"id": SPEC.id, "kind": "probe", "logits": [logit]} for logit in (1.0, 2.0))
    forged, known = msgspec.msgpack.encode(message), msgspec.msgpack.encode(told)
    for frames in ([forged], sealed("guessed", forged), [sealed(secret, known)[0], forged], [b"", b"", b""]):
        socket.send_multipart(frames)
    socket.send_multipart(sealed(secret, known))
    assert running.probed() == (2.0,)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["someone else than the engine's workers sends to where they tell; all of that is dropped"]
    socket.close()
    engine.close()


def test_an_engine_whose_workers_cannot_be_understood_any_more_has_failed(engine):
    running = engine.submit(range(12), SimpleNamespace(), SPEC, Stop(10))
    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.connect(engine.channel["address"])
    message = msgspec.msgpack.encode({"id": SPEC.id, "kind": "token"})  # of which token it is not said
    socket.send_multipart(sealed(engine.channel["secret"], message))
    with pytest.raises(EngineError, match="cannot be read any more"):
        running.token(0)
    socket.close()
    with pytest.raises(EngineError, match="cannot be read any more"):
        engine.submit([1, 2], SimpleNamespace(), SPEC, Stop())


def test_a_request_that_is_dropped_before_it_could_begin_leaves_nothing(engine):
    """Handed in and dropped while the loop is busy, so that its task never takes a step."""
    held = threading.Event()
    engine._loop.call_soon_threadsafe(held.wait, 10)
    engine.drop(running := engine.submit(range(12), SimpleNamespace(), SPEC, Stop(10)))
    held.set()
    running.finished()
    assert (engine.running, engine._tasks) == (0, {})
