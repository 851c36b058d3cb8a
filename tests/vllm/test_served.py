"""The command serves a model on vLLM, outlives the death of vLLM's process, and stops on Ctrl-C as it always does."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.bad_input import CONFLICT
from xmguard import Client, Decoding, OnError
from xmguard.errors import ErrorCode, XmguardError
from xmguard.response import Delta, Started
from xmguard.testing import make_model

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READY = re.compile(r"xmguard: serving tiny on (127\.0\.0\.1:\d+), metrics on (http://127\.0\.0\.1:\d+/metrics)")
ASKED = replace(CONFLICT, on_error=OnError.OPEN)
LONG = replace(ASKED, decoding=Decoding(max_tokens=600))


class Served:
    """The command in a process group of its own, as a shell starts it."""

    def __init__(self, folder) -> None:
        options = ["--engine", "vllm", "--port", "0", "--admin-port", "0", "--concurrency", "3"]
        options += ["--engine-option", f"kv_cache_memory_bytes={64 << 20}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xmguard", "serve", "--model", str(folder), *options],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.address = self.ready()

    def ready(self) -> str:
        line = self.process.stdout.readline()
        match = READY.match(line)
        assert match, line
        self.metrics_url = match[2]
        return match[1]

    def health(self) -> int:
        with grpc.insecure_channel(self.address) as channel:
            return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5).status


def below(front: psutil.Process) -> list[psutil.Process]:
    """Its worker, and what vLLM started in it."""
    return front.children(recursive=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory, in_processes):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    served = Served(make_model(folder, head_dim=32))
    yield served
    if served.process.poll() is None:
        os.killpg(served.process.pid, signal.SIGKILL)
        served.process.wait()
    served.process.stdout.close()


def test_vllms_own_metrics_have_a_page_of_their_own(served, client):
    client.answer(ASKED)
    with urllib.request.urlopen(served.metrics_url.replace("/metrics", "/engine/metrics"), timeout=10) as page:
        own = page.read()
    assert b"vllm:request_success_total" in own
    assert b'worker="0"' in own
    with urllib.request.urlopen(served.metrics_url, timeout=10) as page:
        ours = page.read()
    assert b"vllm:" not in ours
    assert b"\nxmguard_kv_cache_usage_ratio 0." in ours


@pytest.fixture
def client(served):
    with Client(served.address, timeout=120) as client:
        yield client


def test_sigterm_while_vllm_starts_ends_all_of_it(tmp_path, in_processes):
    command = [sys.executable, "-m", "xmguard", "serve", "--engine", "vllm", "--port", "0", "--admin-port", "0"]
    command += ["--model", str(make_model(tmp_path, head_dim=32))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while "starting vLLM and reading the weights" not in process.stderr.readline():
            assert process.poll() is None
        started = psutil.Process(process.pid)
        while not (children := [child for child in below(started) if "spawn_main" in "".join(child.cmdline())]):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert psutil.wait_procs(children, timeout=20)[1] == []


def test_several_callers_are_answered_at_once(served, client):
    alone = client.answer(ASKED)
    assert client.model().engine == "vllm"
    with ThreadPoolExecutor(3) as pool:
        assert [response.raw_answer for response in pool.map(client.answer, [ASKED] * 3)] == [alone.raw_answer] * 3
    streams = [client.stream(LONG) for _ in range(3)]
    for stream in streams:  # each is inside the engine while the others wait for their readers
        next(event for event in stream if isinstance(event, Delta))
    for stream in streams:
        stream.close()


def test_when_vllms_process_dies_streams_end_within_two_seconds_and_it_is_started_again(served, client):
    stream = client.stream(LONG)
    # While the sources are read; by the first word an idle machine may have written the last one.
    next(event for event in stream if isinstance(event, Started))
    children = below(psutil.Process(served.process.pid))
    (core,) = (child for child in children if child.name().startswith("VLLM::Engine"))
    killed = time.monotonic()
    core.kill()
    with pytest.raises(XmguardError) as caught:
        list(stream)
    assert time.monotonic() - killed < 2.0
    assert caught.value.code is ErrorCode.UNAVAILABLE
    while served.health() != NOT_SERVING:
        assert time.monotonic() - killed < 2.0
        time.sleep(0.02)
    with pytest.raises(XmguardError) as refused:
        client.answer(ASKED)
    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert served.ready() == served.address
    assert served.health() == SERVING
    assert client.answer(ASKED).raw_answer


def test_ctrl_c_lets_what_runs_finish_and_ends_vllms_processes(served, client):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.answer, replace(ASKED, decoding=Decoding(max_tokens=60)))
        time.sleep(0.5)
        children = psutil.Process(served.process.pid).children(recursive=True)
        os.killpg(served.process.pid, signal.SIGINT)
        assert running.result(120).usage.completion_tokens == 60
    assert served.process.wait(60) == 0
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_when_the_server_is_killed_vllms_processes_end_by_themselves(tmp_path, in_processes):
    served = Served(make_model(tmp_path / "tiny", head_dim=32))
    children = psutil.Process(served.process.pid).children(recursive=True)
    assert len(children) > 2
    with Client(served.address, timeout=120) as client:
        stream = client.stream(LONG)
        next(event for event in stream if isinstance(event, Delta))
        served.process.kill()
        assert psutil.wait_procs(children, timeout=15)[1] == []
    served.process.wait()
    served.process.stdout.close()
