"""R12: every way in, with every kind of credential; and addresses that are not to be listened on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from tests.reliability.stage import ROOT, Stage, misses
from tests.reliability.target import Finding, Measure, Target
from tests.serving import auth_matrix
from tests.serving.stub_guard import command


def doors(stage: Stage) -> Iterator[Finding]:
    with auth_matrix.guarded() as (served, keys):
        attempts = auth_matrix.walk(served, keys)
    bypasses = [one for one in attempts if one.bypass]
    otherwise = [one for one in attempts if one.got != one.expected and not one.bypass]
    yield Measure("ways in and credentials tried", len(attempts), 500, at_least=True)
    yield Measure("doors", len({one.door for one in attempts}), 3, at_least=True)
    yield misses(f"bypasses{f' ({bypasses[0]})' if bypasses else ''}", len(bypasses))
    yield misses(f"other outcomes than expected{f' ({otherwise[0]})' if otherwise else ''}", len(otherwise))
    accepted = [option for option in ("--host", "--admin-host") if not _refused(option, "0.0.0.0")]
    yield misses("open addresses listened on without tokens", len(accepted))
    with stage.stub() as bound:
        time.sleep(0.1)
        beyond = [one.laddr for one in bound.front.net_connections("inet") if one.status == "LISTEN"]
        others = [address for address in beyond if "127.0.0.1" not in address.ip]
        yield misses("listening beyond loopback by default", len(others))


def _refused(*arguments: str) -> bool:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)
    return done.returncode == 2 and "Traceback" not in done.stderr


TARGETS = (Target("R12", "Who may come in", doors),)
