"""`xmguard calibrate` from a file of pairs to a profile that is used, on a tiny real model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.integration.adapters import Adapted
from tests.unit.command_line import one_error_line, xmguard
from xmguard.backends.transformers.loader import load
from xmguard.calibration import CROSS_LANGUAGE, FittedFor
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.guard import Guard
from xmguard.loading import load_guard
from xmguard.profile import Profile
from xmguard.profile_reader import read_profile
from xmguard_research.calibration import calibrating, tuning
from xmguard_research.calibration.calibrating import ADAPTER_FILES, COSTLY, calibrated, refuse_existing
from xmguard_research.calibration.command import calibrate
from xmguard_research.calibration.gathering import Gathered
from xmguard_research.calibration.labelled import read_pairs, with_languages
from xmguard_research.verdict.requests import request_of
from xmguard_research.verdict.splits import FOLDS, fitting_fold

TIMES = ("8:15", "9:40")


def items() -> list[str]:
    """One name in every fold."""
    names = {fitting_fold(f"item {number}"): f"item {number}" for number in range(100)}
    return [names[number] for number in range(FOLDS)]


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "my.jsonl"
    rows = [
        {
            "question": "When?",
            "texts": [f"{item}: it leaves at 8:15.", f"{item} leaves at {time}."],
            "label": "consistent" if time == "8:15" else "conflict",
            "languages": ["en", "en"],
            "item": item,
        }
        for item in items()
        for time in TIMES
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def guard(tiny_backend, registry) -> Guard:
    return Guard(tiny_backend, registry, model="tiny")


@pytest.fixture(scope="module")
def fitted(guard, pairs_file, tmp_path_factory):
    """A profile of all weights, and its file."""
    out = tmp_path_factory.mktemp("fitted") / "first.json"
    return calibrated(guard, read_pairs(pairs_file), "10 pairs of my.jsonl", out, least=5), out


def test_a_written_profile_gives_the_probabilities_that_were_fitted(fitted, tiny_folder, registry, pairs_file):
    made, out = fitted
    read = read_profile(out)
    assert read is not None
    assert read.name == "first"
    assert read.policy == "none"
    assert read.verdict.modalities == ("text",)
    loaded = load_guard(str(tiny_folder), registry=registry, profile=out)
    assert loaded.describe().calibration.startswith("calibrated on 10 pairs of my.jsonl, 20")
    kind, weights = "same_language", made.profile.verdict.conflict["same_language"]
    for pair in read_pairs(pairs_file):
        evidence = loaded.evidence(request_of(pair))
        values = {name: value for name, found in evidence.features.items() for value in found.values()}
        assert read.verdict.conflict[kind].probability(values) == pytest.approx(weights.probability(values), abs=5e-7)
        verdict = loaded.judged(evidence)
        assert verdict.calibrated
        assert verdict.probability == pytest.approx(weights.probability(values), abs=5e-7)


def test_costly_features_are_not_weighed(fitted, registry):
    made, out = fitted
    assert set(registry.evidence_features.items) >= COSTLY, "a name that no feature has keeps nothing out"
    gathered = [json.loads(line) for line in out.with_suffix(".gathered.jsonl").read_text().splitlines()]
    assert len(gathered) == 10
    assert not COSTLY & {name for row in gathered for name in row["values"]}
    assert not COSTLY & {*made.profile.verdict.features}


def test_what_a_fold_says_of_gathered_pairs_is_what_a_guard_says(fitted, tiny_folder, registry, pairs_file):
    made, out = fitted
    loaded = load_guard(str(tiny_folder), registry=registry, profile=out)
    verdict = made.profile.verdict
    weighing = tuning.Weighing(verdict.conflict, verdict.comparable, verdict.bounds)
    shown = {row["key"]: row for row in map(json.loads, out.with_suffix(".gathered.jsonl").read_text().splitlines())}
    for pair in made.pairs:
        row = shown[pair.content]
        case = tuning.Case(pair, Gathered(**row))
        said, guards = tuning.judged(case, weighing), loaded.judged(loaded.evidence(request_of(pair)))
        assert said.decision is guards.decision
        assert said.probability == pytest.approx(guards.probability, abs=1e-5)


def test_a_run_goes_on_where_it_was_and_starts_anew_only_by_force(fitted, guard, pairs_file, tmp_path, monkeypatch):
    _, first = fitted
    out = tmp_path / "again.json"
    kept = first.with_suffix(".gathered.jsonl").read_text().splitlines(keepends=True)
    out.with_suffix(".gathered.jsonl").write_text("".join(kept[:7]))
    asked = []
    evidence = guard.evidence
    monkeypatch.setattr(guard, "evidence", lambda request, features: asked.append(1) or evidence(request, features))
    calibrated(guard, read_pairs(pairs_file), "10 pairs", out, least=5)
    assert len(asked) == 3
    named = replace(guard.stamp, dtype="bfloat16")
    monkeypatch.setattr(Guard, "stamp", property(lambda self: named))
    with pytest.raises(InvalidRequest, match=r"again\.gathered\.jsonl holds what was gathered in other settings"):
        calibrated(guard, read_pairs(pairs_file), "10 pairs", out, least=5)
    calibrated(guard, read_pairs(pairs_file), "10 pairs", out, least=5, force=True)
    assert len(asked) == 13
    assert read_profile(out).verdict.fitted_for.dtype == "bfloat16"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_recalibration_keeps_the_rest_of_the_profile(fitted, tiny_folder, registry, pairs_file, tmp_path):
    made, _ = fitted
    probe = Adapted(tiny_folder, tmp_path / "theirs" / "adapter").source
    verdict = replace(made.profile.verdict, probe=probe)
    verdict = replace(verdict, conflict=verdict.conflict | {CROSS_LANGUAGE: verdict.conflict["same_language"]})
    verdict = replace(verdict, modalities=("image",))
    theirs = Profile("theirs", "floor", {"minimum": 0.5, "cap": 1.0}, ((0.5,) * 6,) * 3, verdict)
    guard = Guard(load(tiny_folder, registry=registry, probe=probe), registry, model="tiny", profile=theirs)
    out = tmp_path / "mine.json"
    again = calibrated(guard, read_pairs(pairs_file), "10 pairs", out, least=5)
    read = read_profile(out)
    assert (read.name, read.policy, read.parameters, read.heads) == (
        "mine",
        "floor",
        {"minimum": 0.5, "cap": 1.0},
        theirs.heads,
    )
    assert read.verdict.probe == replace(probe, folder=tmp_path / "mine-adapter")
    for name in ADAPTER_FILES:
        assert (read.verdict.probe.folder / name).read_bytes() == (probe.folder / name).read_bytes()
    assert read.verdict.fitted_on.endswith("recalibrated from theirs")
    assert read.verdict.modalities == ("image", "text"), "theirs and those of the pairs"
    assert read.verdict.fitted_for == FittedFor(guard.stamp.model_hash, guard.stamp.engine, guard.stamp.dtype)
    assert again.profile.verdict.conflict[CROSS_LANGUAGE] == verdict.conflict[CROSS_LANGUAGE]
    assert {one.decision for one in again.before} <= {"CONFLICT", "CONSISTENT", "UNDETERMINED"}
    (tmp_path / "other-adapter").mkdir()
    with pytest.raises(InvalidRequest, match="other-adapter is there already"):
        calibrated(guard, read_pairs(pairs_file), "10 pairs", tmp_path / "other.json", least=5)


def test_too_few_pairs_are_refused_before_the_model_has_read_any(guard, pairs_file, tmp_path):
    with pytest.raises(InvalidRequest, match="5 conflict and 5 consistent pairs, 60 of each are needed"):
        calibrated(guard, read_pairs(pairs_file), "10 pairs", tmp_path / "p.json")
    assert not [*tmp_path.iterdir()]


def test_a_verdict_of_another_model_is_no_start(fitted, tiny_backend, registry, pairs_file, tmp_path):
    made, _ = fitted
    strange = replace(made.profile.verdict, fitted_for=FittedFor("another", "transformers", "float32"))
    guard = Guard(tiny_backend, registry, model="tiny", profile=replace(made.profile, verdict=strange))
    again = calibrated(guard, read_pairs(pairs_file), "10 pairs", tmp_path / "p.json", least=5)
    assert "the profile has no verdict fitted to this model: all weights are fitted" in again.notes
    assert again.profile.verdict.fitted_on.endswith("all weights fitted")


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(calibrate)
    return lambda *arguments: CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80", "NO_COLOR": "1"})


def test_the_command_shows_before_and_after_and_what_to_do_next(
    command, tiny_folder, pairs_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(tuning, "REFIT", 5)
    monkeypatch.chdir(tmp_path)
    result = command("--pairs", str(pairs_file), "--model", str(tiny_folder))
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    for expected in (
        "10 pairs of my.jsonl: 5 consistent, 5 conflict; 5 items",
        "before: not calibrated: the model has no profile with a fitted verdict",
        "same language, conflict: fitted on 5 conflict and 5 consistent pairs",
        "same language, comparable: no fit, so every pair counts as comparable",
        "AUROC",
        "Brier score",
        "after, cross-validated",
        "conflict 5 CONFLICT",
        "CONFLICT takes a probability above",
        "After is",
        f"wrote my-profile.json; next: xmguard serve --model {tiny_folder} --profile my-profile.json",
    ):
        assert " ".join(expected.split()) in said, result.stdout
    assert max(map(len, (line for line in result.stdout.splitlines() if "│" in line or "  " in line))) <= 130
    assert (tmp_path / "my-profile.json").is_file()
    again = command("--pairs", str(pairs_file), "--model", str(tiny_folder))
    assert "my-profile.json is there already; give --force" in str(again.exception)


def test_bad_pairs_are_told_before_the_model_is_loaded(command, tmp_path):
    (tmp_path / "bad.jsonl").write_text("{")
    result = command("--pairs", str(tmp_path / "bad.jsonl"), "--model", "nowhere", "--out", str(tmp_path / "p.json"))
    assert "bad.jsonl, line 1: is not JSON" in str(result.exception)


@pytest.mark.parametrize("name", ["profile", "profile.txt", ".profile.json", "none/p.json"])
def test_a_file_that_no_profile_can_be_read_from_is_refused(tmp_path, name):
    with pytest.raises(InvalidRequest, match=r"^--out: "):
        refuse_existing(tmp_path / name, force=False)


def test_a_profile_that_is_not_there_is_refused(tiny_folder, registry, tmp_path):
    with pytest.raises(ModelRefused, match="is not there, or holds no profile; xmguard calibrate writes one"):
        load_guard(str(tiny_folder), registry=registry, profile=tmp_path / "p.json")


def test_commands_judge_with_the_profile_they_are_given(fitted, tiny_folder, tmp_path):
    _, out = fitted
    spans = [{"text": "It leaves at 8:15.", "language": "en"}, {"text": "It leaves at 9:40.", "language": "en"}]
    (tmp_path / "request.json").write_text(json.dumps({"question": "When?", "spans": spans}))
    asked = (str(tmp_path / "request.json"), "--model", str(tiny_folder), "--profile", str(out))
    checked = xmguard("check", *asked, "--json")
    assert json.loads(checked.stdout)["verdict"]["calibrated"], checked.output
    assert "calibrated" in xmguard("explain", *asked).stdout
    asked = (*asked, "--server", "127.0.0.1:1")
    assert "--profile: a server has its own" in one_error_line(xmguard("answer", *asked))


def test_a_server_does_not_start_with_a_profile_that_is_not_there(tiny_folder, tmp_path):
    ports = ("--port", "0", "--admin-port", "0")
    started = xmguard("serve", *ports, "--model", str(tiny_folder), "--profile", str(tmp_path / "p.json"))
    assert started.exit_code == 2
    assert "p.json is refused: is not there, or holds no profile" in started.stderr.splitlines()[-1]


def test_languages_are_those_that_a_request_gets(guard, registry):
    pair = read_pairs_of_one("Wann fährt die Fähre ab, und von welchem Hafen aus geht es heute los?")
    (filled,) = with_languages([pair], lambda text: calibrating.language_of(text, registry))
    evidence = guard.evidence(request_of(pair), ())
    assert filled.languages == tuple(span.language for span in evidence.spans)
    assert filled.languages[0] == "de"


def read_pairs_of_one(text: str):
    from xmguard_research.verdict.pairs import Label, Pair

    return Pair("k", "i", "own pairs", "q?", (text, "x"), ("", ""), Label.CONFLICT)
