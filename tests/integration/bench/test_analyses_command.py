"""`xmguard bench analyse` with a tiny model: what it writes, and what it refuses."""

import json

import pytest

from tests.unit.command_line import one_error_line, xmguard
from xmguard_research.benchmarks.clqa.items import items
from xmguard_research.benchmarks.clqa.suites import of_items
from xmguard_research.benchmarks.suites import cases, with_suites


def test_the_cases_of_a_suite_are_what_it_was_made_of():
    options = {"topics": "2", "variants": "en-es", "size": "short"}
    drawn = list(of_items(items(2, chosen=[("en", "es")], sizes=["short"])))
    assert len(drawn) == 8
    assert cases("clqa", options, with_suites()) == drawn


def test_the_command_writes_a_folder_that_is_of_one_analysis(tiny_folder, tmp_path):
    few = ("--model", str(tiny_folder), "--items", "1", "--max-tokens", "3", "--suite", "clqa")
    few += ("-T", "topics=2", "-T", "variants=en-es", "-T", "size=short")
    arguments = ("bench", "analyse", "sweep", *few, "--amounts", "0,2", "--scopes", "readers", "--out", str(tmp_path))
    first = xmguard(*arguments)
    assert first.exit_code == 0, first.output
    assert f"wrote {tmp_path}" in first.stdout
    rows = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    assert len(rows.splitlines()) == 8, "both orders of a conflict and its control, plain and with 2 nats"
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert (summary["suite"], summary["items"], summary["model"]) == ("clqa", 1, tiny_folder.name)
    refused = xmguard("bench", "analyse", "order", *few, "--out", str(tmp_path))
    assert refused.exit_code == 2
    assert "holds other rows than these" in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("order", "--scopes", "all"), "--scopes: order has no use for it"),
        (("sweep", "--rows", "x.jsonl"), "--rows: sweep has no use for it"),
        (("sweep", "--amounts", "1,many"), "--amounts: '1,many' is no list of numbers"),
        (("sweep", "--steer", "louder"), "steer: 'louder' is neither of later, weaker"),
        (("order", "-T", "prompts=explicit"), "prompts: is not for the suite here"),
        (("order", "-T", "colour"), "option: 'colour' is not NAME=VALUE"),
        (("order", "--suite", "quiz"), "suite: there is no 'quiz'; there are"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_before_a_model_is_loaded(arguments, said):
    assert said in one_error_line(xmguard("bench", "analyse", *arguments, "--model", "no such model"))
