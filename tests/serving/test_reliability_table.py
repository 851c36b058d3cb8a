"""What the table of reliability targets calls met, missed and skipped, and what a run fails by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability import table
from tests.reliability.stage import Stage, percentile
from tests.reliability.target import Finding, Measure, Result, Skip, Target, run
from tests.reliability.targets import TARGETS

MET, LATE, WRONG = Measure("one", 1, 2, "s"), Measure("two", 3, 2, "s", slack=2), Measure("lost", 1, 0)
SKIPPED = Skip("three", "no tool")


def result(*findings: Finding, error: str = "") -> Result:
    return Result(Target("R0", "a target", lambda stage: iter(())), list(findings), error)


@pytest.mark.parametrize(
    ("shown", "verdict", "short", "soak"),
    [
        (result(MET), "met", False, False),
        (result(MET, LATE), "MISSED", False, True),
        (result(MET, WRONG), "MISSED", True, True),
        (result(MET, SKIPPED), "met, parts skipped", False, False),
        (result(SKIPPED), "SKIPPED", False, False),
        (result(MET, error="gone"), "ERROR", True, True),
        (result(Measure("rate", 5, 8, at_least=True, slack=2)), "MISSED", False, True),
        (result(Measure("rate", 3, 8, at_least=True, slack=2)), "MISSED", True, True),
        (result(Measure("p99", percentile([], 0.99), 8, slack=2)), "MISSED", True, True),
    ],
)
def test_verdicts(shown: Result, verdict: str, short: bool, soak: bool) -> None:
    assert (shown.verdict, shown.fails(short=True), shown.fails(short=False)) == (verdict, short, soak)


def test_what_was_measured_before_an_error_is_kept(tmp_path: Path) -> None:
    def check(stage: Stage) -> Iterator[Finding]:
        yield MET
        raise LookupError("gone")

    kept = run(Target("R0", "a target", check), Stage(tmp_path, short=True, told=lambda line: None))
    assert (kept.findings, kept.error) == ([MET], "LookupError: gone")


def test_the_table_goes_between_the_marks_of_a_document(tmp_path: Path) -> None:
    document, numbers = tmp_path / "README.md", tmp_path / "numbers.json"
    document.write_text(f"before\n{table.MARK}\nold\n{table.MARK}\nafter\n")
    results = [result(MET, LATE, SKIPPED)]
    table.put(results, document, short=True, load=0.5)
    table.write(results, numbers, short=True, load=0.5)
    text = document.read_text()
    assert text.startswith(f"before\n{table.MARK}\n")
    assert text.endswith(f"{table.MARK}\nafter\n")
    assert "old" not in text
    assert "| R0 a target | one | ≤ 2 s | 1 s | met |" in text
    assert "|  | two | ≤ 2 s | 3 s | MISSED |" in text
    assert "|  | three |  | no tool | SKIPPED |" in text
    (target,) = json.loads(numbers.read_text())["targets"]
    assert [finding.get("met") for finding in target["findings"]] == [True, False, None]
    with pytest.raises(ValueError, match="twice"):
        table.put(results, numbers, short=True, load=0.5)


def test_there_are_seventeen_targets() -> None:
    assert [target.name for target in TARGETS] == [f"R{number}" for number in range(1, 18)]
