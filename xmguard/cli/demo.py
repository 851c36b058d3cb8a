"""`xmguard demo`: the whole product once, for real: server, client, questions, steering, metrics, stop.

Over texts with the default model, then over a picture and a text where plugins bring what that takes. Uses only what
any user has: the `serve` command in a process of its own, `xmguard.Client`, and the metrics page.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import IO, TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xmguard.cli import render
from xmguard.cli.ask import show_stream
from xmguard.cli.terminal import one_line, output, printable, progress
from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard.models.resolve import DEFAULTS, default_model
from xmguard.parts import IMAGE
from xmguard.plugins import ALLOW_LIST, Registry, load_plugins
from xmguard.request import AnswerRequest, Detail, OnConflict, Rebalance
from xmguard.span import Media, Span
from xmguard.validation import INSTALLED_FOR

if TYPE_CHECKING:
    from xmguard.client import Client

PICTURE_MODEL = "smolvlm-tiny"
PICTURE_MODEL_PLUGIN = "xmguard-smolvlm-tiny"
TEXTS, PICTURES = "texts", "pictures"
"""Kinds of questions, as the file of them has them."""
EPSILONS = (0.0, 0.5, 1.0, 2.0)
"""Nats added to one span of a server's first question: to its picture, or else to the span that is used least."""

START_SECONDS = 120.0
STOP_SECONDS = 20.0
METRIC_LINES = 12

_READY = re.compile(r"xmguard: serving (?P<model>\S+) on (?P<address>\S+), metrics on (?P<metrics>http://\S+)")


@dataclass(frozen=True)
class _Served:
    address: str
    metrics: str


@dataclass(frozen=True)
class _Example:
    title: str
    request: AnswerRequest


def demo() -> None:
    """Start the real server, ask it three questions, steer one, show its metrics, stop it; then do so with a picture.

    The second part takes plugins; what is missing is said in its place.
    """
    registry = load_plugins()
    with progress("looking for the model") as step:
        # Does nothing when it is there; the preferred models may build on the last one.
        registry.models.items[DEFAULTS[-1]].pull(progress=step)
    console = output()
    _act(console, default_model(registry), TEXTS)
    console.print()
    if lacking := _lacking_for_pictures(registry):
        console.print(Text(f"Not shown, a picture and a text that contradict each other: {lacking}", style="yellow"))
    else:
        _act(console, PICTURE_MODEL, PICTURES)


def _lacking_for_pictures(registry: Registry) -> str:
    """What stands in the way of the part with a picture; empty, with its model pulled, when nothing does."""
    source = registry.models.get(PICTURE_MODEL)
    needed = {INSTALLED_FOR[IMAGE]: registry.modalities.get(IMAGE), PICTURE_MODEL_PLUGIN: source}
    missing = [distribution for distribution, provided in needed.items() if provided is None]
    if source is None or missing:
        advice = f"pip install {' '.join(f'./plugins/{name}' for name in missing)}"
        allowed = f", and {ALLOW_LIST} has to allow it" if ALLOW_LIST in os.environ else ""
        weights = "" if source else f" ({PICTURE_MODEL_PLUGIN} counts once it holds weights; its README trains them)"
        return f"{' and '.join(missing)} not found; in a clone: {advice}{allowed}{weights}"
    try:
        with progress(f"looking for {PICTURE_MODEL}") as step:
            source.pull(progress=step)
    except SetupIncomplete as error:
        return one_line(str(error))
    return ""


def _act(console: Console, model: str, kind: str) -> None:
    """Everything with one model and a server of its own: what it is asked is of one kind."""
    from xmguard.client import Client

    examples = _examples(kind)
    with _server(model) as served, Client(served.address) as client:
        console.print(
            Text(f"server with {model} on {served.address}, metrics on {served.metrics}", style="dim"), soft_wrap=True
        )
        under_read, *_ = [_ask(console, client, example) for example in examples]
        request = examples[0].request
        _sweep(console, client, request, next((span.id for span in request.spans if span.media), under_read))
        _show_metrics(console, served.metrics)
    console.print(Text("The server stopped cleanly.", style="green"))


def _examples(kind: str) -> list[_Example]:
    """What a model is asked. Pictures are files beside the requests; their spans name the media type only."""
    from xmguard import wire

    folder = files("xmguard.cli")
    entries = json.loads((folder / "demo_requests.json").read_text(encoding="utf-8"))[kind].values()
    examples = []
    for entry in entries:
        request = wire.from_json(AnswerRequest, json.dumps(entry["request"]))
        pictures = entry.get("pictures", {})
        spans = (
            replace(span, media=Media(span.media.media_type, (folder / pictures[span.id]).read_bytes()))
            if span.media
            else span
            for span in request.spans
        )
        examples.append(_Example(entry["title"], replace(request, spans=tuple(spans))))
    return examples


def _shown(span: Span) -> str:
    """The span's text, or what its picture is."""
    if span.media is None:
        return span.text or ""
    width, height = struct.unpack_from(">II", span.media.data, 16)  # a PNG's header begins with them
    return f"[picture: {width} x {height} PNG]"


def _ask(console: Console, client: Client, example: _Example) -> str:
    """Show one example; returns the id of the span that contributed least."""
    console.print()
    console.rule(Text(example.title, style="bold"), align="left")
    console.print(Text.assemble(("question: ", "dim"), printable(example.request.question)))
    for span in example.request.spans:
        console.print(Text.assemble((f"{span.id}: ", "dim"), printable(_shown(span))))
    console.print()
    done = show_stream(client.stream(example.request), example.request)
    return done.response.imbalance.under_attended or example.request.spans[-1].id


def _sweep(console: Console, client: Client, request: AnswerRequest, span_id: str) -> None:
    """The same question while more and more attention goes to one span."""
    console.print()
    console.rule(Text(f"The first question again, steering attention towards {span_id}", style="bold"), align="left")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("epsilon", "contribution", "share", "attention"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("the model's own words", overflow="fold")
    for epsilon in EPSILONS:
        with progress(f"answering with epsilon {epsilon:g}"):
            response = client.answer(
                replace(
                    request,
                    rebalance=Rebalance(policy="fixed", bias={span_id: epsilon}),
                    on_conflict=OnConflict.PLAIN,
                    detail=Detail(),
                )
            )
        report = next(report for report in response.spans if report.span_id == span_id)
        table.add_row(
            f"{epsilon:+g}",
            f"{render.number(report.contribution_before)} → {render.number(report.contribution_after)}",
            f"{render.percent(report.share_before)} → {render.percent(report.share_after)}",
            f"{render.percent(report.attention_before)} → {render.percent(report.attention_after)}",
            Text(one_line(response.raw_answer)),
        )
    console.print(table)


def _show_metrics(console: Console, url: str) -> None:
    console.print()
    console.rule(Text("The server's own metrics, a few lines", style="bold"), align="left")
    # Without the proxies of the environment: they cannot reach this machine's loopback.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as page:
        lines = page.read().decode("utf-8").splitlines()
    # How long steps took is for dashboards; what was found and run is for people.
    counted = [
        line for line in lines if re.match(r"xmguard_\w+(?<!_seconds)_total\b", line) and not line.endswith(" 0.0")
    ]
    if not counted:
        raise XmguardError(f"{url} shows no counted request", code=ErrorCode.INTERNAL)
    for line in counted[:METRIC_LINES]:
        console.print(Text(line), soft_wrap=True)


@contextmanager
def _server(model: str) -> Iterator[_Served]:
    """A server in a process of its own; leaving the block stops it and checks that it ended well."""
    command = [sys.executable, "-m", "xmguard", "serve", "--port", "0", "--admin-port", "0", "--model", model]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            with progress(f"starting the server with {model}"):
                served = _wait_until_ready(process, log)
            yield served
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise _failure(f"did not stop within {STOP_SECONDS:g} s of SIGTERM", log) from None
        if status:
            raise _failure(f"ended with status {status} after SIGTERM, expected 0", log)


def _wait_until_ready(process: subprocess.Popen[str], log: IO[str]) -> _Served:
    assert process.stdout is not None
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    # A line cannot be read with a time limit; killing the process ends the wait instead.
    watchdog = threading.Timer(START_SECONDS, give_up)
    watchdog.start()
    try:
        for line in process.stdout:
            if match := _READY.match(line):
                return _Served(match["address"], match["metrics"])
    finally:
        watchdog.cancel()
    raise _failure(f"was not ready within {START_SECONDS:g} s" if late.is_set() else "ended before it was ready", log)


def _failure(what: str, log: IO[str]) -> XmguardError:
    log.seek(0)
    said = log.read().strip().splitlines()
    last = f"; its last line: {one_line(said[-1])}" if said else ""
    return XmguardError(f"the server {what}{last}", code=ErrorCode.UNAVAILABLE, reason=Reason.SERVER_UNREACHABLE)
