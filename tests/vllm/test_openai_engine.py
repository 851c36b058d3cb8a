"""The engine `openai` over a stock `vllm serve`: a real server, a real tokenizer, real log-probabilities.

The model is tiny and its weights are random, so that what it says is noise; that it is asked and heard is real.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from xmguard.deadline import Stop
from xmguard.errors import EngineError, InvalidRequest, Reason
from xmguard.loading import load_guard
from xmguard.request import AnswerRequest, Decoding, Detail, OnError
from xmguard.response import ConflictVerdict, Delta, Done, FinishReason
from xmguard.span import Span

pytestmark = pytest.mark.timeout(900)  # a server starts in a minute where the machine is idle

LENGTH = 1024
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_PLUGINS": "",  # stock: nothing of xmguard's in it
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The URL of a stock server with a tiny model named `tiny`."""
    from xmguard.testing import make_model

    folder = make_model(tmp_path_factory.mktemp("tiny"), head_dim=32)
    log = folder / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", str(LENGTH), "--generation-config", "vllm"]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=out, stderr=out)
    try:
        for _ in range(3000):
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


@pytest.fixture
def guard(served):
    loaded = load_guard("tiny", engine="openai", options={"base_url": served})
    yield loaded
    loaded.backend.close()


SPANS = (
    Span(id="s1", text="The bridge opened in 1912.", language="en"),
    Span(id="s2", text="The bridge opened in 1931.", language="en"),
)


def asking(**fields: object) -> AnswerRequest:
    request = {"on_error": OnError.OPEN, "decoding": Decoding(max_tokens=12), "detail": Detail(alone_answers=True)}
    return AnswerRequest(**({"spans": SPANS, "question": "When?"} | request | fields))


def test_a_whole_answer_is_streamed_and_counted(guard):
    events = list(guard.stream(asking()))
    assert isinstance(events[1], ConflictVerdict)
    assert events[1].reason.endswith("as nothing could be scored.")
    assert isinstance(events[-1], Done)
    response = events[-1].response
    assert response.answer == "".join(event.text for event in events if isinstance(event, Delta))
    assert response.raw_answer
    assert response.finish_reason is FinishReason.LENGTH
    assert response.usage.completion_tokens == 12
    assert response.usage.prompt_tokens > 60
    assert response.usage.evidence_tokens > 100
    assert all(span.contribution_before is None and span.answer_alone for span in response.spans)
    assert not response.rebalancing.applied


def test_log_probabilities_come_with_the_alone_answers(guard):
    offered = {check.name: check.detail for check in guard.backend.self_test()}
    assert offered["log-probabilities"].startswith("offered")
    assert guard.describe().limits.max_prompt_tokens == LENGTH - 1
    for span in guard.evidence(asking()).spans:
        assert span.answer
        assert span.own, "every token's log-probability is told"
        assert all(math.isfinite(value) and value <= 0 for value in span.own)
        assert "".join(span.tokens).strip() == span.answer


def test_decoding_is_greedy_so_the_same_is_said_twice(guard):
    first, second = (guard.check(asking()) for _ in range(2))
    assert [span.answer_alone for span in first.spans] == [span.answer_alone for span in second.spans]
    assert first.verdict.probability == second.verdict.probability


def test_what_it_refuses_is_told_as_what_to_do(served, guard):
    with pytest.raises(InvalidRequest, match="send less text") as caught:
        guard.check(asking(spans=(Span(id="s1", text="word " * 1500, language="en"), SPANS[1])))
    assert caught.value.reason is Reason.PROMPT_TOO_LONG
    with pytest.raises(EngineError, match="knows no model 'other'; it serves tiny"):
        load_guard("other", engine="openai", options={"base_url": served})


def test_a_deadline_ends_the_calls(guard):
    from xmguard.errors import DeadlineExceeded

    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        guard.answer(asking(decoding=Decoding(max_tokens=900)), stop=Stop(0.3))
    assert time.monotonic() - started < 5
