"""How a measurement inside vLLM goes on from what it has kept. No engine is started, and nothing is timed."""

from dataclasses import replace

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.speed.timing import Timed
from xmguard_research.vllm_speed import run as run_module
from xmguard_research.vllm_speed.run import Settings, run

SETTINGS = Settings("tiny", "float32", 3, 1, 64, 2, ("decode", "cache"))


class Stopped(Exception):
    """What a signal raises."""


@pytest.fixture
def called(monkeypatch, tmp_path):
    """Two cells that are timed and one that is counted, without a model; holds the name of every call."""
    called = []

    def variant(name):
        def call():
            called.append(name)
            return Timed(1.0, ((1,),))

        return call

    def timed(settings):
        for batch in (1, 2):
            names = {"plain": variant(f"plain {batch}"), "idle": variant(f"idle {batch}")}
            yield run_module._Cell("decode", {"batch": batch}, lambda engines, names=names: (names, {}))

    def counted(settings):
        yield run_module._Cell("cache", {}, lambda engines: ({}, {"of the context": 7}))

    monkeypatch.setattr(run_module, "_CELLS", {"decode": timed, "cache": counted})
    monkeypatch.setattr(run_module, "resolve", lambda *of: type("Model", (), {"path": tmp_path}))
    return called


def tell(what, done, in_all):
    """To nobody."""


def test_a_run_that_is_stopped_has_kept_its_rounds_and_goes_on_with_the_cell_it_was_in(called):
    kept = []

    def stop(report):
        kept.append(report)
        if len(report.series) == 4 and len(report.series[-1].samples) == 1:
            raise Stopped

    with pytest.raises(Stopped):
        run(SETTINGS, tell=tell, keep=stop)
    assert [len(row.samples) for row in kept[-1].series] == [3, 3, 1, 1]
    called.clear()
    whole = run(SETTINGS, tell=tell, before=kept[-1])
    assert sorted(set(called)) == ["idle 2", "plain 2"]
    assert whole.complete
    assert [len(row.samples) for row in whole.series] == [3, 3, 3, 3, 1]
    assert whole.series[-1].samples == (7.0,)


def test_out_of_time_no_cell_is_begun_and_a_run_is_not_called_complete(called):
    report = run(replace(SETTINGS, minutes=0.0), tell=tell)
    assert (report.series, report.complete, called) == ((), False, [])


def test_what_was_measured_with_other_settings_is_not_gone_on_with(called):
    before = run(SETTINGS, tell=tell)
    with pytest.raises(InvalidRequest, match="the file is of rounds 3, asked for is 4"):
        run(replace(SETTINGS, rounds=4), tell=tell, before=before)
    assert run(replace(SETTINGS, minutes=5.0), tell=tell, before=before).complete
