"""`xmguard calibrate --suite` from cases to a profile that a guard applies, on a tiny real model."""

import json
from collections import Counter
from dataclasses import replace
from math import fsum

import pytest
import typer
from typer.testing import CliRunner

from xmguard import AnswerRequest, Guard, OnConflict, Rebalance, Span
from xmguard.errors import InvalidRequest
from xmguard.hookspecs import hookimpl
from xmguard.loading import load_guard
from xmguard.profile_reader import read_profile
from xmguard.providers import BenchmarkProvider
from xmguard.request import Decoding, OnError
from xmguard_research.benchmarks import builtin
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.tasks import suite
from xmguard_research.calibration import answering, fitting, suite_calibrating
from xmguard_research.calibration.answering import Answering
from xmguard_research.calibration.choosing import BALANCE
from xmguard_research.calibration.command import calibrate
from xmguard_research.calibration.layers import RATIOS, Fitted
from xmguard_research.calibration.suite_calibrating import Wanted, calibrated_on_suite
from xmguard_research.calibration.suite_cases import DEV, TEST, halves, split
from xmguard_research.calibration.suite_report import markdown
from xmguard_research.verdict.splits import FOLDS, fitting_fold

SETTINGS = ("fixed epsilon=1", "fixed epsilon=3")
TOKENS = 8


def items() -> list[str]:
    """Seven dev items, of every fold, and a test item."""
    names = [f"door {number}" for number in range(200)]
    dev = [name for name in names if split(name) == DEV]
    first = [next(name for name in dev if fitting_fold(name) == fold) for fold in range(FOLDS)]
    rest = [name for name in dev if name not in first]
    return [*first, *rest[:2], next(name for name in names if split(name) == TEST)]


def case(item: str, conflict: bool) -> Case:
    long = f"The {item} of the old house by the river was painted red in the spring of last year, as people tell."
    second = "Kapı mavi." if conflict else "Kapı kırmızı."
    spans = (Span("s1", long, language="en"), Span("s2", second, language="tr"))
    answers = ("red", "blue") if conflict else ("red", "red")
    return Case(f"{item}/{conflict}", item, "en-tr", f"Which colour is the {item}?", spans, conflict, answers)


@suite
def doors():
    """Doors in English and Turkish."""
    return [case(item, conflict) for item in items() for conflict in (True, False)]


@pytest.fixture(scope="module", autouse=True)
def short():
    """Responses of a few tokens, which take a tiny model no time, and one penalty that is tried."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "STRENGTHS", (0.1,))
        patch.setattr(answering, "TOKENS", TOKENS)
        yield


@pytest.fixture(scope="module")
def cases():
    return halves([case(item, conflict) for item in items() for conflict in (True, False)], None)


@pytest.fixture(scope="module")
def guard(tiny_backend, registry) -> Guard:
    return Guard(tiny_backend, registry, model="tiny")


WANTED = Wanted("doors", SETTINGS, (), BALANCE, least_pairs=5)


@pytest.fixture(scope="module")
def made(guard, cases, tmp_path_factory):
    """A calibration, and its profile's file."""
    out = tmp_path_factory.mktemp("calibrated") / "doors.json"
    return calibrated_on_suite(guard, cases, WANTED, out), out


def request_of(one: Case, **changes) -> AnswerRequest:
    return AnswerRequest(spans=one.spans, question=one.question, **changes)


def test_the_epsilon_that_evens_the_sources_out_most_is_found(made, guard, cases):
    calibration, out = made
    uneven = {
        setting: fsum(
            guard.check(request_of(one, rebalance=Rebalance("fixed", {"epsilon": epsilon}))).imbalance.log_ratio_after
            for one in cases[DEV]
        )
        for setting, epsilon in zip(("none", *SETTINGS), (0.0, 1.0, 3.0), strict=True)
    }
    best = min(uneven, key=uneven.__getitem__)
    assert best != "none", "a plant that could not be found proves nothing"
    assert {choice.pair: choice.setting for choice in calibration.choices} == {"en-tr": best}
    found = {one.setting: one.gain.value for one in calibration.choices[0].candidates}
    for setting in SETTINGS:
        assert found[setting] == pytest.approx((uneven["none"] - uneven[setting]) / len(cases[DEV]), abs=1e-4)
    policy = Rebalance("fixed", {"epsilon": float(best.split("=")[1])})
    assert read_profile(out).pairs == {"en-tr": policy}


def test_the_profile_changes_what_a_guard_does_to_such_spans_alone(made, tiny_folder, registry, cases):
    _, out = made
    loaded = load_guard(str(tiny_folder), registry=registry, profile=out)
    checked = loaded.check(request_of(cases[TEST][0]))
    assert checked.rebalancing.applied
    assert checked.imbalance.log_ratio_after < checked.imbalance.log_ratio_before
    assert checked.verdict.calibrated
    english = tuple(replace(span, language="en") for span in cases[TEST][0].spans)
    assert not loaded.check(replace(request_of(cases[TEST][0]), spans=english)).rebalancing.applied
    assert loaded.profile.verdict.languages == ("en-tr",)
    assert "14 pairs, 7 dev items of doors" in loaded.describe().calibration


def test_the_report_has_dev_and_test_beside_each_other(made, guard):
    calibration, _ = made
    report = markdown(calibration, guard.stamp)
    assert "dev: 7 items, 14 cases; test: 1 item, 2 cases" in report
    chosen = calibration.choices[0].setting
    for expected in (
        f"| dev | en-tr | standard | {chosen} | 7 |",
        f"| test | en-tr | standard | {chosen} | 1 |",
        f"| dev | en-tr | {chosen} |",
        f"| test | en-tr | {chosen} |",
        "| dev | AUROC |",
        "| test | ECE |",
        "- layers and heads: left alone;",
        "- verdict: cross language, conflict: fitted on 7 conflict and 7 consistent pairs",
    ):
        assert expected in report, report
    tables = [line.count("|") for line in report.splitlines() if line.startswith("| dev | en-tr | standard")]
    assert tables == [11]


def test_a_run_goes_on_where_it_was_and_asks_nothing_twice(made, guard, cases, tmp_path, monkeypatch):
    calibration, first = made
    out = tmp_path / "doors.json"
    gathered, answers = (first.with_suffix(end) for end in (".gathered.jsonl", ".answers.jsonl"))
    (tmp_path / gathered.name).write_text(gathered.read_text())
    lines = answers.read_text().splitlines(keepends=True)
    keys = [json.loads(line)["key"] for line in lines]
    assert max(Counter(keys).values()) == 1
    assert len(keys) == 14 * 3 + 2 * 2, "none and both policies on dev, none and the chosen one on test"
    (tmp_path / answers.name).write_text("".join(lines[:-5]))
    asked = []
    answer = Answering._answer
    monkeypatch.setattr(
        Answering, "_answer", lambda self, marks, *rest: [*map(_count(asked), answer(self, marks, *rest))]
    )
    monkeypatch.setattr(guard, "evidence", lambda *arguments: pytest.fail("evidence was gathered already"))
    again = calibrated_on_suite(guard, cases, WANTED, out)
    assert sorted(asked) == sorted(keys[-5:])
    assert [json.loads(line)["key"] for line in (tmp_path / answers.name).read_text().splitlines()] == keys
    assert again.profile.pairs == calibration.profile.pairs


def _count(asked):
    return lambda row: asked.append(row.key) or row


def test_none_wins_where_every_policy_breaks_right_answers_and_no_factors_are_written(
    guard, cases, tmp_path, monkeypatch
):
    norms = guard.explain(request_of(cases[DEV][0])).before.norms
    heads = tuple((1.0,) * len(layer) for layer in norms)
    monkeypatch.setattr(suite_calibrating, "fit", lambda *_: Fitted(heads, RATIOS, (), "factors that change no bias"))
    plain = {"on_conflict": OnConflict.PLAIN, "on_error": OnError.OPEN, "decoding": Decoding(TOKENS)}

    def right(one: Case) -> Case:
        return replace(one, answers=(guard.answer(request_of(one, **plain)).raw_answer.strip(),) * 2)

    dev = [one if one.conflict else right(one) for one in cases[DEV]]
    out = tmp_path / "none.json"
    found = calibrated_on_suite(guard, {DEV: dev, TEST: cases[TEST]}, replace(WANTED, least_pairs=None), out)
    assert found.choices[0].setting == "none"
    assert found.choices[0].candidates[0].accuracy.value < -1
    assert "gained and did harm" in found.choices[0].note
    read = read_profile(out)
    assert (read.policy, read.pairs, read.heads, read.verdict) == ("none", {}, None, None)
    assert "factors of heads: left out; no policy was shown better than none with them" in found.notes
    assert any("verdict: left alone; too few pairs to fit weights" in note for note in found.notes)


@pytest.mark.parametrize("setting", ["nothing x=1", "fixed epsilon=90", "fixed", "target share.s1=0.5", "none"])
def test_a_policy_that_no_profile_could_hold_is_refused_before_anything_is_asked(guard, cases, tmp_path, setting):
    with pytest.raises(InvalidRequest, match=r"^--setting: "):
        calibrated_on_suite(guard, cases, replace(WANTED, settings=(setting,)), tmp_path / "p.json")
    assert not [*tmp_path.iterdir()]


# -- the command -------------------------------------------------------------------------------------------------------


class _Suites:
    @hookimpl
    def xmguard_benchmarks(self):
        return [BenchmarkProvider("doors", "doors", f"{__name__}:doors")]


@pytest.fixture
def command(monkeypatch):
    monkeypatch.setattr(builtin, "xmguard_benchmarks", _Suites().xmguard_benchmarks)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(calibrate)
    return lambda *arguments: CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80", "NO_COLOR": "1"})


def test_the_command_writes_a_profile_and_a_report(command, tiny_folder, tmp_path):
    out = tmp_path / "mine.json"
    asked = ("--suite", "doors", "--model", str(tiny_folder), "--items", "2", "--prompts", "standard")
    result = command(*asked, "--setting", "fixed epsilon=2", "--out", str(out))
    assert result.exit_code == 0, result.output
    for expected in (
        "dev: 2 items, 4 cases of doors",
        "test: 1 item, 2 cases of doors",
        "en-tr: left alone; no value shown better than none on 2 dev items",
        f"wrote {tmp_path / 'mine.md'}, with every number on dev and on test",
        f"wrote {out}; next: xmguard serve --model {tiny_folder} --profile {out}",
    ):
        assert expected in result.stdout, result.stdout
    assert out.with_suffix(".md").read_text().startswith("# mine: calibrated on doors\n")
    assert read_profile(out).name == "mine"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--pairs: give either --pairs FILE or --suite NAME"),
        (("--suite", "doors", "--pairs", "p.jsonl"), "--pairs: give either"),
        (("--pairs", "p.jsonl", "--items", "3"), "--items: belongs to --suite"),
        (("--suite", "none-such"), "suite: there is no 'none-such'; there are doors"),
        (("--suite", "doors", "--aim", "fame"), "--aim: 'fame' is not one of detection, balance"),
        (("--suite", "doors", "-T", "x"), "--option: 'x' is not NAME=VALUE"),
        (("--suite", "doors", "-T", "x=1"), "x: suite doors has no such option"),
        (("--suite", "doors", "--prompts", "rude"), "prompts: 'rude' is not one of"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_model_is_loaded(command, tmp_path, arguments, reason):
    result = command(*arguments, "--model", "nowhere", "--out", str(tmp_path / "p.json"))
    assert reason in str(result.exception)
