"""A judge's endpoint that fails, in a whole run of `xmguard bench`: retried, recorded with its status, never a no."""

import pytest
from typer.testing import CliRunner

from tests.judge_endpoint import serving
from xmguard_research.benchmarks.command import app
from xmguard_research.benchmarks.summary import answered, cells

pytest.importorskip("openai", reason="the openai client of the extra research is not installed")


@pytest.fixture(scope="module")
def endpoint():
    with serving() as server:
        yield server


@pytest.fixture
def bench(tiny_folder, endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("INSPECT_DISPLAY", "none")

    def run(judge_model, *more):
        told = "run clqa -T topics=1 -T size=short -T variants=en-en --prompts standard"
        told += f" --max-tokens 2 --strict --log-dir {tmp_path} --judge openai"
        told += f" --judge-url {endpoint.url} --judge-retries 1 --judge-timeout 0.3 --model {tiny_folder}"
        ended = CliRunner().invoke(app, [*told.split(), "--judge-model", judge_model, *more])
        return ended, answered(tmp_path)

    return run


def test_a_judge_that_is_busy_once_is_asked_again(bench, endpoint):
    ended, rows = bench("limited 1")
    assert ended.exit_code == 0, ended.output
    assert [row.found for row in rows] == [True] * 4
    assert [one["model"] for one in endpoint.requests].count("limited 1") == 4 + 1


@pytest.mark.parametrize(("behaviour", "status"), [("chatty", "malformed"), ("slow", "error"), ("limited", "error")])
def test_a_judge_that_keeps_failing_leaves_a_response_unjudged_and_a_strict_run_fails(bench, behaviour, status):
    ended, rows = bench(behaviour)
    assert ended.exit_code == 1, ended.output
    assert "4 responses, 4 not judged, 0 failed" in ended.output
    assert [row.found for row in rows] == [None] * 4
    (cell,) = cells(rows).values()
    assert cell.unjudged == 4
    assert cell.rate() is None
    for score in scores(rows[0].log):
        assert (score.value, score.metadata["status"], score.metadata["reported"]) == ("unjudged", status, None)
        assert score.explanation


def scores(log):
    from inspect_ai.log import read_eval_log

    return [sample.scores["says_conflict"] for sample in read_eval_log(log).samples]
