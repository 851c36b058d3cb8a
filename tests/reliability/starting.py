"""R16: starting, and not starting."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc

from tests.reliability.asking import body
from tests.reliability.stage import ROOT, Stage, end, engine_options, free_port, misses, real_command
from tests.reliability.target import Finding, Measure, Target
from tests.reliability.tiny import tiny_model
from tests.scripted import health
from tests.serving.stub_guard import command
from xmguard import wire

NOT_SERVING, SERVING = 2, 1


def starting(stage: Stage) -> Iterator[Finding]:
    answers, serving, refused = _watched(stage)
    yield Measure("probes answered while it loads", answers, 5, at_least=True)
    yield misses("probes told SERVING before it was ready", serving)
    yield misses("calls while it loads that ended otherwise than with UNAVAILABLE", refused)
    with stage.serve(real_command("--model", str(tiny_model(stage)))) as served:
        yield Measure("a tiny model ready after", served.started, 15, "s", slack=3)
    if not stage.short:
        with stage.real() as served:
            yield Measure("SmolLM2 ready after", served.started, 15, "s")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wrong = _wrong(stage.folder, taken.getsockname()[1])
        ends = {name: _ended(arguments) for name, arguments in wrong.items()}
    yield Measure("wrong settings", len(ends), 6, at_least=True)
    otherwise = [name for name, (_, code, lines) in ends.items() if code != 2 or lines != 1]
    yield misses(f"of them, not status 2 with one line{f' ({otherwise[0]})' if otherwise else ''}", len(otherwise))
    slowest = max(ends, key=lambda name: ends[name][0])
    yield Measure(f"the last of them said after ({slowest})", ends[slowest][0], 2, "s", slack=8)
    # What of it is Python that starts and imports, and nothing of ours could be faster than.
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import grpc.aio, typer, rich"], check=True)
    yield Measure("importing grpc, typer and rich alone", time.monotonic() - began, 2, "s", slack=8)


def _wrong(folder: Path, port: int) -> dict[str, Sequence[str]]:
    tokens = folder / "tokens.toml"
    tokens.write_text("this is no table of tokens")
    tokens.chmod(0o600)
    return {
        "port taken": ("--port", str(port)),
        "brownout the wrong way round": ("--brownout-from", "0.1", "--brownout-until", "0.9"),
        "certificate without key": ("--tls-cert", "nowhere.pem"),
        "tokens that cannot be read": ("--tokens", str(tokens)),
        "tokens that are not there": ("--tokens", str(folder / "nowhere.toml")),
        "address of another machine": ("--host", "192.0.2.1"),
        "open to everybody": ("--host", "0.0.0.0"),
    }


def _ended(arguments: Sequence[str]) -> tuple[float, int, int]:
    """Seconds, status, and lines that are not steps of loading."""
    began = time.monotonic()
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    clean = "Traceback" not in done.stderr and not done.stdout
    return time.monotonic() - began, done.returncode, len(lines) if clean else -1


def _watched(stage: Stage) -> tuple[int, int, int]:
    """Probes answered, told SERVING, and calls not told UNAVAILABLE, while a model takes three seconds to load."""
    port = free_port()
    arguments = command(*engine_options({"load": 3}))
    arguments[arguments.index("--port") + 1] = str(port)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    answers = serving = refused = 0
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                told = health(f"127.0.0.1:{port}")
            except grpc.RpcError:  # it does not listen yet
                time.sleep(0.05)
                continue
            if told == SERVING:
                break
            answers += 1
            refused += _code(f"127.0.0.1:{port}") not in ("UNAVAILABLE", "OK")
            time.sleep(0.1)
        # SERVING is told when requests are answered, and never before.
        serving = int(_code(f"127.0.0.1:{port}") != "OK")
    finally:
        end(process)
    return answers, serving, refused


def _code(address: str) -> str:
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(wire.ANSWER.path)(body("tokens=1"), timeout=10)
        except grpc.RpcError as failure:
            return str(failure.code().name)
    return "OK"


TARGETS = (
    Target(
        "R16",
        "Starting",
        starting,
        "what is told and the status are enforced; times to 3 to 8 times their bound: they are mostly those of "
        "importing libraries, which depends on the disk and on what else runs",
    ),
)
