"""`xmguard serve --engine openai`: the real command and client, and a double in place of somebody's API."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from tests import chat_api
from tests.chat_api import MODEL, refusal
from xmguard import Client, Decision, Rebalance, Span
from xmguard.errors import EngineError, ErrorCode, InvalidRequest, Reason
from xmguard.request import AnswerRequest
from xmguard.response import Delta, Status

READY = re.compile(r"xmguard: serving double on 127\.0\.0\.1:(\d+), metrics on http://127\.0\.0\.1:\d+/metrics")
KEY = "sk-a-very-secret-key"
REQUEST = AnswerRequest(
    spans=(Span("s1", "The bridge opened in 1912.", language="en"), Span("s2", "It opened in 1931.", language="en")),
    question="When did the bridge open?",
)


@pytest.fixture(scope="module")
def api():
    with chat_api.serving() as server:
        server.key = KEY
        yield server


@pytest.fixture(scope="module")
def process(api, tmp_path_factory):
    """The command, and the file with what it says on stderr."""
    said = tmp_path_factory.mktemp("served") / "stderr"
    command = [sys.executable, "-m", "xmguard", "serve", "--engine", "openai", "--model", MODEL, "--base-url", api.url]
    command += ["--port", "0", "--admin-port", "0", "--concurrency", "3", "--engine-option", "retries=0"]
    with said.open("w") as out:
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=out, text=True, env=os.environ | {"OPENAI_API_KEY": KEY}
        )
    running.address = READY.match(running.stdout.readline())
    assert running.address, said.read_text()
    yield running, said
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0
    running.stdout.close()


@pytest.fixture
def client(process):
    with Client(f"127.0.0.1:{process[0].address[1]}", timeout=30) as client:
        yield client


def test_an_answer_is_checked_and_streamed(client):
    _, verdict, *deltas, _ = client.stream(REQUEST)
    assert (verdict.decision, verdict.status) == (Decision.CONFLICT, Status.OK)
    assert len([delta for delta in deltas if isinstance(delta, Delta)]) > 5
    response = client.answer(REQUEST)
    assert response.spans[0].contribution_before is None
    assert any("engine openai: no contributions" in warning for warning in response.warnings)
    served = client.model()
    assert (served.engine, [policy.name for policy in served.policies]) == ("openai", ["none"])


def test_rebalancing_is_an_invalid_argument(client):
    with pytest.raises(InvalidRequest) as caught:
        client.answer(replace(REQUEST, rebalance=Rebalance("fixed")))
    assert [violation.field for violation in caught.value.violations] == ["rebalance.policy"]


def test_requests_are_answered_at_once(api, client):
    together = Barrier(3, timeout=10)
    api.before = lambda message, number: (
        together.wait() if "1912" in message and message[-1] == ":" and not number else 0
    )
    try:
        with ThreadPoolExecutor(3) as callers:
            found = list(callers.map(lambda _: client.check(REQUEST), range(3)))
    finally:
        api.before = lambda message, number: None
    assert all(response.verdict.decision is Decision.CONFLICT for response in found)


def test_an_api_that_fails_ends_the_call_and_not_the_server(api, client):
    api.odd = lambda number, message: refusal(429, retry_after="40")
    try:
        with pytest.raises(EngineError) as caught:
            client.check(REQUEST)
    finally:
        api.odd = lambda number, message: None
    assert (caught.value.code, caught.value.reason) == (ErrorCode.RESOURCE_EXHAUSTED, Reason.ENGINE_FAILED)
    assert caught.value.retry_after == 40.0
    assert client.check(REQUEST).verdict.status is Status.OK


def test_the_process_says_what_it_found_out_but_no_key_and_loads_no_torch(process):
    running, said = process
    told = said.read_text()
    assert "log-probabilities: offered" in told
    assert "verdict: not calibrated: judged by what the answers claim" in told
    assert KEY not in told
    maps = Path(f"/proc/{running.pid}/maps")
    if not maps.exists():
        pytest.skip("there is no /proc here")
    assert "libtorch" not in maps.read_text()
