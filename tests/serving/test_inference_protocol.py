"""Health and metadata for KServe's and Triton's tools."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import grpc
import pytest

from tests import other_clients
from tests.scripted import ScriptedGuard, serving
from xmguard import __version__
from xmguard_server.inference import inference_pb2 as pb
from xmguard_server.inference_protocol import INFERENCE_SERVICE


def ask(address: str, method: str, request: bytes = b"") -> bytes:
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(f"/{INFERENCE_SERVICE}/{method}")(request, timeout=5)


def test_it_says_what_is_served() -> None:
    with serving() as served:
        assert pb.ServerReadyResponse.FromString(ask(served.address, "ServerReady")).ready
        request = pb.ModelMetadataRequest(name="scripted").SerializeToString()
        found = pb.ModelMetadataResponse.FromString(ask(served.address, "ModelMetadata", request))
        assert (found.name, found.platform) == ("scripted", "xmguard_script")


def test_it_is_live_and_not_ready_while_the_model_is_loaded() -> None:
    loaded: list[ScriptedGuard] = []

    def load() -> ScriptedGuard:
        while not loaded:
            time.sleep(0.01)
        return loaded[0]

    with serving(load=load) as served:
        assert pb.ServerLiveResponse.FromString(ask(served.address, "ServerLive")).live
        assert not pb.ServerReadyResponse.FromString(ask(served.address, "ServerReady")).ready
        assert not pb.ModelReadyResponse.FromString(ask(served.address, "ModelReady")).ready
        loaded.append(ScriptedGuard())


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("ModelReady", b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("ModelMetadata", b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("ModelMetadata", pb.ModelMetadataRequest(name="another").SerializeToString(), grpc.StatusCode.NOT_FOUND),
        ("ModelInfer", b"\xff anything", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_what_it_does_not_answer(method: str, request_: bytes, code: grpc.StatusCode) -> None:
    with serving() as served, pytest.raises(grpc.RpcError) as caught:
        ask(served.address, method, request_)
    assert caught.value.code() is code
    assert "google.protobuf" not in caught.value.details()


@pytest.mark.skipif(not other_clients.TRITON.exists(), reason="tritonclient is not installed: make test-reliability")
def test_an_unmodified_tritonclient_finds_its_way() -> None:
    with serving() as served:
        command = [other_clients.TRITON, Path(__file__).with_name("triton_probe.py"), served.address]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    assert (told["live"], told["ready"]) == (True, True)
    assert (told["models"], told["versions"]) == ([True, False], [True, False])
    assert told["server"] == {"name": "xmguard", "version": __version__}
    assert told["model"]["name"] == "scripted"
    assert told["missing"][0] == "StatusCode.NOT_FOUND"
    status, message = told["infer"]
    assert status == "StatusCode.UNIMPLEMENTED"
    assert "/xmguard.v1.GuardService/Answer" in message
