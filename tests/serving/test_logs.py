"""Nothing of a request is in the log, whatever happens to the request; and all of it is JSON where programs read it."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.scripted import REQUEST, Script, call_raw, ordinary, raising, serving
from tests.serving import stub_guard
from tests.serving.stub_guard import stub_server
from xmguard import wire
from xmguard.client import Client
from xmguard.deadline import Stop
from xmguard.errors import FieldViolation, InvalidRequest, PluginError, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import Event
from xmguard_server.logs import JsonLines

SECRET = "Xyzzy-4711"
ASKED = replace(REQUEST, question=f"Who is {SECRET}?")


def chained(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
    try:
        raise ValueError(request.question)
    except ValueError as error:
        error.add_note(request.question)
        raise KeyError(request.question) from error
    yield


def talking(speak: Callable[[str], None]) -> Script:
    def script(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        speak(request.question)
        yield from ordinary(request, stop)

    return script


class Quoting(Exception):
    """Quotes wherever it can."""

    def __str__(self) -> str:
        return SECRET

    __repr__ = __str__


SCRIPTS: dict[str, Script] = {
    "all goes well": ordinary,
    "the request is wrong": raising(InvalidRequest([FieldViolation(f'rebalance.bias["{SECRET}"]', SECRET)])),
    "a plugin fails": raising(PluginError(f"cannot read {SECRET}")),
    "there is a bug": raising(Quoting()),
    "there is a bug because of another": chained,
    "a library logs": talking(logging.getLogger("library").error),
    "a library logs an error": talking(lambda text: logging.getLogger("library").error(text, exc_info=Quoting())),
    "a library warns": talking(lambda text: warnings.warn(text, stacklevel=1)),
}


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """The log from here on, at every level."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = logging._showwarning
            yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_nothing_of_a_request_is_logged(script: Script, lines: Callable[[], list[dict[str, object]]]) -> None:
    with serving(script) as served, Client(served.address) as client:
        for call in (client.answer, client.check, lambda request: list(client.stream(request))):
            with suppress(XmguardError):
                call(ASKED)
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            call_raw(served.address, "Answer", b"\xff" + SECRET.encode())
        with pytest.raises(Exception, match="NOT_FOUND"):
            call_raw(served.address, "GetModel", wire.GET_MODEL.pack_request(SECRET))
    told = lines()
    assert len([line for line in told if line["logger"] == "xmguard_server.access"]) == 5
    assert SECRET not in str(told)


def test_a_bug_leaves_its_kind_and_where_it_was(lines: Callable[[], list[dict[str, object]]]) -> None:
    with serving(chained) as served, Client(served.address) as client, pytest.raises(XmguardError):
        client.answer(ASKED)
    (line,) = [line for line in lines() if "traceback" in line]
    frames = str(line["traceback"])
    assert frames.index("builtins.ValueError: withheld") < frames.index("builtins.KeyError: withheld")
    assert "in chained" in frames


def test_a_library_leaves_where_it_wrote(lines: Callable[[], list[dict[str, object]]]) -> None:
    logging.getLogger("library").warning(SECRET)
    (line,) = [line for line in lines() if line["logger"] == "library"]
    assert str(line["message"]).startswith("withheld")
    assert "test_logs.py:" in str(line["written_at"])


def test_all_of_it_is_told_if_asked_for() -> None:
    try:
        raise Quoting
    except Quoting:
        record = logging.LogRecord("library", logging.ERROR, "x.py", 1, "%s!", (SECRET,), sys.exc_info())
    line = json.loads(JsonLines(quoting=True).format(record))
    assert line["message"] == f"{SECRET}!"
    assert SECRET in line["traceback"]


def test_all_that_a_server_says_while_it_starts_is_json_too(tmp_path: Path) -> None:
    with stub_server(tmp_path / "log") as served:
        said = [json.loads(line)["message"] for line in served.log.read_text().splitlines()]
    assert "loading the stub" in said
    assert [line for line in said if line.startswith("verdict: ")]


def test_at_a_terminal_the_steps_of_loading_are_words() -> None:
    ours, its = pty.openpty()
    try:
        command = stub_guard.command("--engine-option", "needs=/nowhere")
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=its, check=False, cwd=stub_guard.ROOT, timeout=60
        )
        said = os.read(ours, 65536).decode().splitlines()
    finally:
        os.close(ours)
        os.close(its)
    assert done.returncode == 2
    assert "loading the stub" in said


PROGRAM = """
import asyncio, gc, logging, sys, threading, warnings
from xmguard_server.logs import log_to_stderr
log_to_stderr(quoting={quoting})
def fail(*_): raise ValueError("Xyzzy-4711")
thread = threading.Thread(target=fail); thread.start(); thread.join()
warnings.warn("Xyzzy-4711")
class Dying:
    __del__ = fail
Dying()
async def main():
    task = asyncio.create_task(asyncio.to_thread(fail))
    await asyncio.sleep(0.1)
    del task
    gc.collect()
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
asyncio.run(main())
"""


@pytest.mark.parametrize("quoting", [False, True])
def test_what_python_itself_would_print_says_no_more(quoting: bool) -> None:
    command = [sys.executable, "-c", PROGRAM.format(quoting=quoting)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(lines) == 5
    assert {line["logger"] for line in lines} == {"xmguard_server.logs", "py.warnings", "asyncio"}
    assert sum(SECRET in str(line) for line in lines) == (5 if quoting else 0)
