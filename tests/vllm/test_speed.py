"""The measurement of speed on a tiny model: rounds are written as they come, and stopping it leaves nothing behind."""

import json
import signal
import subprocess
import sys
import time

import psutil

from xmguard_research.speed.report import read
from xmguard_research.vllm_speed.answering import GUARD, NAIVE


def test_sigterm_keeps_the_rounds_that_were_taken_and_ends_every_process(tmp_path, in_processes):
    out = tmp_path / "speed.json"
    command = [sys.executable, "-m", "xmguard_research.vllm_speed", "--quick", "--experiments", "answers"]
    with subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL) as process:
        while not (out.exists() and json.loads(out.read_text())["series"]):
            assert process.poll() is None
            time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) > 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert psutil.wait_procs(children, timeout=10)[1] == []
    kept = read(out)
    assert not kept.complete
    assert {row.variant for row in kept.series} >= {GUARD, NAIVE}
    assert {len(row.samples) for row in kept.series} <= {1, 2}
