"""What waits, expires or is watched goes by a clock that nobody sets: a jump of the wall clock must end no call."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALL = {
    "xmguard/backends/openai/failures.py": "when to come back, which another server says as a date",
    "xmguard/steps.py": "when a step began, for traces",
    "server/xmguard_server/auth.py": "until when a token is valid; when its file was written",
    "server/xmguard_server/openai/app.py": "since when a model is listed, as OpenAI tells it",
    "server/xmguard_server/openai/chat_response.py": "when an answer was made, as OpenAI tells it",
    "server/xmguard_server/page/recent.py": "when a request ended, for people",
    "server/xmguard_server/tls.py": "until when a certificate is valid",
    "server/xmguard_server/token_command.py": "until when a new token is valid",
}
"""Modules that may read the wall clock, and what for."""
CALLS = ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today")
MODULES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("xmguard", "server/xmguard_server")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def reads_the_wall_clock(source: str) -> bool:
    """Whether it names one of the calls, however it imports what they are called on."""
    nodes = list(ast.walk(ast.parse(source)))
    named = {".".join(ast.unparse(node).split(".")[-2:]) for node in nodes if isinstance(node, ast.Attribute)}
    bare = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    }
    return bool(named & set(CALLS)) or bool(bare & {"time", "time_ns"})


def test_only_what_is_told_to_people_or_comes_as_a_date_reads_the_wall_clock() -> None:
    found = {module for module in MODULES if reads_the_wall_clock((ROOT / module).read_text())}
    assert len(MODULES) > 100
    assert found - set(WALL) == set(), "use time.monotonic or the event loop's time, or say in WALL what it is for"


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("import time\ntime.time()", True),
        ("from time import time", True),
        ("import datetime\ndatetime.datetime.now()", True),
        ("from datetime import datetime\nwhen = datetime.now", True),
        ("import time\ntime.monotonic() + time.perf_counter()", False),
        ("class Now:\n    time = 0\n\n\nNow().time", False),
    ],
)
def test_how_a_module_reads_the_wall_clock_is_seen(source: str, reads: bool) -> None:
    assert reads_the_wall_clock(source) is reads
