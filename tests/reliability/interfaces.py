"""R17: other people's clients get the same answer, and the contract has not been broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import other_clients
from tests.reliability.stage import ROOT, Absent, Stage, misses
from tests.reliability.target import Finding, Skip, Target
from tests.scripted import REQUEST, Serving, serving
from xmguard import wire
from xmguard.client import Client

PROTO = "xmguard/v1/guard.proto"


def interfaces(stage: Stage) -> Iterator[Finding]:
    with serving(http_port=0) as served:
        with Client(served.address) as client:
            expected = client.answer(REQUEST).answer
        for ask in (_grpcurl, _grpc_js, _triton, _openai, _inspector):
            name = ask.__name__.strip("_").replace("_", "-")
            try:
                told = ask(stage, served, expected)
            except Absent as absent:
                yield Skip(name, str(absent))
                continue
            what = f"{name}: asked, and not answered as the client library is"
            yield misses(f"{what} ({told})" if told else what, int(bool(told)))
    yield from _breaking(stage)


def _ran(arguments: list[object], **settings: object) -> str:
    done = subprocess.run(
        [str(one) for one in arguments], capture_output=True, text=True, timeout=60, check=False, **settings
    )  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout)[-500:])
    return str(done.stdout)


def _same(told: object, expected: object) -> str:
    return "" if told == expected else f"{told!r} is not {expected!r}"


def _grpcurl(stage: Stage, served: Serving, expected: str) -> str:
    body = json.dumps({"spans": wire.to_data(REQUEST)["spans"], "question": REQUEST.question})
    asked = _ran([stage.tool("grpcurl"), "-plaintext", "-d", body, served.address, f"{wire.SERVICE}/Answer"])
    return _same(json.loads(asked)["answer"], expected)


def _grpc_js(stage: Stage, served: Serving, expected: str) -> str:
    node, modules = shutil.which("node"), other_clients.FOLDER / "node_modules"
    if node is None or not (modules / "@grpc" / "grpc-js").exists():
        raise Absent("@grpc/grpc-js is not installed")
    script = Path(__file__).with_name("grpc_js.js")
    served.guard.calls.clear()
    told = json.loads(
        _ran([node, script, served.address, ROOT / "protos"], env={**os.environ, "NODE_PATH": str(modules)})
    )
    return _same((told["answer"], told["streamed"]), (expected, expected))


def _triton(stage: Stage, served: Serving, expected: str) -> str:
    if not other_clients.TRITON.exists():
        raise Absent("tritonclient is not installed")
    told = json.loads(_ran([other_clients.TRITON, ROOT / "tests/serving/triton_probe.py", served.address]))
    return _same((told["live"], told["ready"], told["model"]["name"]), (True, True, "scripted"))


def _openai(stage: Stage, served: Serving, expected: str) -> str:
    import openai

    client = openai.OpenAI(base_url=f"{served.http_url}/v1", api_key="none", max_retries=0)
    spans = wire.to_data(REQUEST)["spans"]
    with client:
        told = client.chat.completions.create(
            model="scripted",
            messages=[{"role": "user", "content": REQUEST.question}],
            extra_body={"xmguard": {"spans": spans}},
        )
    return _same(told.choices[0].message.content, expected)


def _inspector(stage: Stage, served: Serving, expected: str) -> str:
    inspector = other_clients.node_command("mcp-inspector")
    if inspector is None:
        raise Absent("the MCP inspector is not installed")
    data = wire.to_data(REQUEST)
    settings = stage.folder / "mcp.json"
    command = {"command": sys.executable, "args": ["-m", "xmguard", "mcp", "--server", served.address]}
    entry = {**command, "env": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    settings.write_text(json.dumps({"mcpServers": {"xmguard": entry}}))
    told = _ran(
        [
            *(inspector, "--cli", "--config", settings, "--server", "xmguard"),
            *("--method", "tools/call", "--tool-name", "answer"),
            *("--tool-arg", f"question={data['question']}", f"spans={json.dumps(data['spans'])}"),
        ],
        cwd=ROOT,
    )
    return _same(json.loads(told)["structuredContent"]["answer"], expected)


def _breaking(stage: Stage) -> Iterator[Finding]:
    """The contract against that of the last release."""
    tags = subprocess.run(["git", "tag", "--sort=-creatordate"], capture_output=True, text=True, cwd=ROOT, check=False)
    if not tags.stdout.split():
        yield Skip("buf breaking against the last tag", "no release has a tag here")
        return
    tag, before = tags.stdout.split()[0], stage.folder / "before"
    (before / PROTO).parent.mkdir(parents=True)
    (before / PROTO).write_text(_ran(["git", "show", f"{tag}:protos/{PROTO}"], cwd=ROOT))
    own = Path(sys.executable).with_name("buf")
    arguments = [own if own.exists() else stage.tool("buf"), "breaking", "protos", "--against", before]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    yield misses(f"breaking changes since {tag}", len(done.stdout.splitlines()))


TARGETS = (Target("R17", "Other people's clients", interfaces),)
