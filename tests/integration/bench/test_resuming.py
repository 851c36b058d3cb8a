"""A run that is killed goes on: the real command in a process of its own, against a server that counts."""

import os
import signal
import subprocess
import sys
import threading
import time

from inspect_ai.log import recoverable_eval_logs
from typer.testing import CliRunner

from tests.scripted import eventually, ordinary, serving
from xmguard.errors import ModelNotFound
from xmguard_research.benchmarks.command import app
from xmguard_research.benchmarks.summary import answered

BEFORE = 9
"""Responses that are given before the server stalls and the run is killed."""


def test_after_a_kill_the_same_command_asks_only_what_is_missing(tmp_path):
    asked = []
    on = threading.Event()

    def stalling(request, stop):
        if len(asked) >= BEFORE:
            on.wait(60)
        asked.append((request.question, request.spans))
        yield from ordinary(request, stop)

    with serving(stalling) as server:
        told = ["run", "clqa-mini", "--model", f"xmguard-server/{server.address}", "--log-dir", str(tmp_path)]
        told += ["--prompts", "standard"]
        process = subprocess.Popen(
            [sys.executable, "-m", "xmguard", "bench", *told],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "INSPECT_DISPLAY": "none"},
        )
        try:
            eventually(lambda: len(asked) == BEFORE, 60.0)
            time.sleep(1.5)  # the last of them are judged and kept
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        cut = CliRunner().invoke(app, ["table", "--log-dir", str(tmp_path)])
        CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "page")])
        (killed,) = recoverable_eval_logs(str(tmp_path))
        kept = max(killed.flushed_samples, killed.completed_samples)
        assert kept >= BEFORE // 2
        on.set()
        ended = CliRunner().invoke(app, told)
    assert "were not asked yet" in cut.output
    assert "samples were not asked; the run is not done" in (tmp_path / "page/report.html").read_text(encoding="utf-8")
    assert ended.exit_code == 0, ended.output
    assert "24 responses, 0 not judged, 0 failed" in ended.output
    assert len(answered(tmp_path)) == 24
    repeated = [one for one in asked[BEFORE:] if one in asked[:BEFORE]]
    assert len(repeated) <= BEFORE - kept  # what a slow machine had answered and not yet judged
    assert len(asked) <= 24 + 1 + len(repeated)  # and perhaps the one on which the server stalled


def test_what_failed_is_asked_again_by_the_same_command_and_what_is_done_is_shown_whole(tmp_path):
    asked, broken = [], True

    def script(request, stop):
        asked.append(request.spans)
        if broken and request.spans[0].language == "es":
            raise ModelNotFound("not here today")
        yield from ordinary(request, stop)

    with serving(script) as server:
        told = ["run", "clqa-mini", "--model", f"xmguard-server/{server.address}", "--log-dir", str(tmp_path)]
        told += ["--prompts", "standard", "--items", "1"]
        first = CliRunner().invoke(app, [*told, "--strict"])
        before, broken = len(asked), False
        failed = sum(bool(row.failed) for row in answered(tmp_path))
        second = CliRunner().invoke(app, [*told, "--strict"])
        again = len(asked) - before
        CliRunner().invoke(app, [*told[:-1], "2"])  # asks the same samples and more, and is the newer run then
        third = CliRunner().invoke(app, told)
    assert first.exit_code == 1
    assert failed == 2
    assert before == 8 + 2  # they were tried once more at once
    assert f"{8 - failed} responses, 0 not judged, {failed} failed" in first.output
    assert "2 failed, 0-1-festival/" in first.output
    assert "not here today" in first.output
    assert again == failed
    for done in (second, third):
        assert done.exit_code == 0, done.output
        assert "8 responses, 0 not judged, 0 failed" in done.output
    assert len(asked) == before + failed + 16


def test_a_run_that_answers_nothing_is_an_error_without_being_strict(tmp_path):
    told = ["run", "clqa-mini", "--model", "smollm3", "--log-dir", str(tmp_path), "--prompts", "standard"]
    ended = CliRunner().invoke(app, [*told, "--items", "1"])
    assert ended.exit_code == 1
    assert "8 failed, 0-" in ended.output
    assert "no model 'smollm3'" in ended.output
