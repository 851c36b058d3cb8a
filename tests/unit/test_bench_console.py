"""The tables of a run on a terminal: what stands in them, and that they fit."""

import io

from rich.console import Console

from xmguard_research.benchmarks.console import show
from xmguard_research.benchmarks.derived import UNDEFINED, Number
from xmguard_research.benchmarks.summary import Asking, Key, Row

VARIANT = "exclusive picture flawed"


def row(item, conflict, found, measure="says_conflict", decision=None, prompt="guided"):
    return Row(
        Key("iseval", "m [1]", "", prompt, VARIANT, measure), f"{item}/{prompt}", item, conflict, found, decision
    )


def shown(rows, numbers, width=80):
    written = io.StringIO()
    show(rows, numbers, Console(file=written, width=width))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_a_run_fits_a_terminal_with_prompts_as_headings_and_without_empty_columns():
    rows = [row(item, conflict, True, decision="CONFLICT") for item in "ab" for conflict in (True, False)]
    rows += [row(item, True, None, prompt="spontaneous") for item in "ab"]
    rows += [row("a", None, False, "names_flaw")]
    numbers = [Number("SEDR", UNDEFINED, 0, "nobody " * 30)]
    lines = shown(rows, {Asking("iseval", "m [1]", ""): numbers})
    assert lines[0] == "iseval, m [1]"
    assert max(map(len, lines)) <= 80
    assert lines.count(" guided") == 1
    (conflicts,) = [line for line in lines if line.split()[:4] == [*VARIANT.split(), "conflict"] and "100%" in line]
    assert conflicts.split()[4:] == ["100%", "34–100", "100%", "34–100", "2", "0"]
    assert lines[lines.index(conflicts) + 1].split() == ["agree", "100%", "34–100", "100%", "34–100", "2", "0"]
    assert sum("judged" in line for line in lines) == 1  # of the rates of detection alone
    assert not any("failed" in line for line in lines)
    assert [line.split()[:3] for line in lines if "SEDR" in line] == [["SEDR", "–", "0"]]
