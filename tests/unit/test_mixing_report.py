"""The report of an experiment, of responses whose numbers are known."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from typer import BadParameter

from tests.unit.mixing_experiments import CONTENT, DETECTED, content, filled
from xmguard.errors import XmguardError
from xmguard_research.metrics import Estimate
from xmguard_research.mixing import experiment as running
from xmguard_research.mixing import figures, reporting
from xmguard_research.mixing.arms import Experiment
from xmguard_research.mixing.crossed import Crossed
from xmguard_research.mixing.evaluating import RESPONSES
from xmguard_research.mixing.experiment import ArmsDiffer, claim
from xmguard_research.mixing.measures import Number
from xmguard_research.mixing.posing import CONFLICT


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    experiment = Experiment.parse(content())
    return reporting.collect(experiment, filled(experiment, tmp_path_factory.mktemp("out")))


def test_the_report_has_the_numbers_of_every_arm_and_of_every_comparison(result, tmp_path):
    written = {path.name for path in reporting.write(result, tmp_path)}
    assert written == {
        *("report.md", "summary.json", "summary.csv"),
        *("figure-6.svg", "figure-6.png", "figure-7.svg", "figure-7.png"),
    }
    rows = list(csv.DictReader((tmp_path / "summary.csv").read_text().splitlines()))

    def value(what, arm, against="", variant="en-es"):
        (row,) = [
            row
            for row in rows
            if (row["what"], row["arm"], row["against"], row["variant"]) == (what, arm, against, variant)
        ]
        return float(row["value"])

    assert [value("detection", arm) for arm in DETECTED] == [0.0, 0.5, 1.0]
    assert value("detection", "none", variant="en-en") == 1.0
    assert value("shortfall", "dataset") == 0.5
    assert value("difference in detection", "instance", "dataset") == 0.5
    assert value("reduction of imbalance", "instance", "none") == pytest.approx(3.419, abs=1e-3)
    report = (tmp_path / "report.md").read_text()
    alike = (
        "clqa en-es: imbalance of none over that of instance is 3.42 times; all draws are equal (2 topics, 2 seeds)."
    )
    assert f"**Cannot be said** – {alike}" in report
    assert "**Not shown** – clqa en-es: detection of instance minus that of dataset" in report
    assert re.search(r"\| instance \| 1 \| 50 \| 500 \|", report)
    assert "| instance | 1 | 50 | 500 | 4 | 8 | 7 | 3.0 |" in report
    assert "Not done yet" not in report
    count = report.count("- **Shown") + report.count("- **Not shown")
    assert f"{count} of these statements have an interval, and none is corrected" in report
    assert f"about {count / 20:.0f} of them would be shown by chance" in report
    assert report.count("about 75% of cases with 4 topics and one seed") == 2
    assert "2 topics, each in conflicts and controls" in report
    head = "| arm | seed | en-es detection | en-es false alarms | en-es imbalance |"
    assert head in report
    assert "| dataset | 1 | 50 | 0 | 0.693 |" in report


def test_what_is_worse_is_said_as_what_is_better_is(result):
    said = [line for line in reporting.statements(result) if "exact answers of instance minus those of dataset" in line]
    assert said
    assert all(line.startswith("**Shown, below 0**") for line in said)


def number(what, value, low, high, items, seeds):
    estimate = Estimate(value, low, high, 0)
    return Number("instance", "none", "clqa", "en-es", "standard", CONFLICT, what, estimate, items, 8, seeds)


def test_nothing_is_shown_by_draws_that_are_all_equal_and_every_statement_says_what_was_drawn(result):
    def said(one):
        return reporting.statements(replace(result, numbers=(), compared=(one,)))

    reduction, less = "reduction of imbalance", "difference in detection"
    assert said(number(reduction, 3.4, 3.4, 3.4, 1, 1)) == [
        "**Cannot be said** – clqa en-es: imbalance of none over that of instance is 3.4 times; all draws are equal "
        "(1 topic, 1 seed)."
    ]
    assert said(number(reduction, 3.4, 2.0, 4.0, 4, 3)) == [
        "**Shown, above 1** – clqa en-es: imbalance of none over that of instance is 3.4 [2, 4] times (4 topics, "
        "3 seeds)."
    ]
    assert said(number(less, -0.1, -0.5, 0.2, 9, 2)) == [
        "**Not shown** – clqa en-es: detection of instance minus that of none, standard prompt is -10 [-50, 20] points "
        "(more is better) (9 topics, 2 seeds); the interval holds 0."
    ]


def test_intervals_of_four_topics_are_worth_what_the_report_says():
    generator = np.random.default_rng(0)
    topics = list("abcd")
    held = 0
    for trial in range(200):
        values = generator.normal(size=4)
        draws = Crossed(topics, [0], resamples=200, seed=trial)
        found = draws.mean(lambda one, count: one / count, {0: (topics, [values, [1.0] * 4])}).estimate()
        held += found.low <= 0 <= found.high
    assert 0.68 < held / 200 < 0.82


def test_draws_that_differ_by_rounding_alone_have_no_interval():
    topics = list("abcdefg")
    drawn = Crossed(topics, [0]).mean(lambda one, other: one / other, {0: (topics, [[0.1] * 7, [0.7] * 7])})
    assert drawn.draws.min() < drawn.draws.max()
    found = drawn.estimate()
    assert found.low == found.value == found.high


def test_the_figures_show_the_numbers(result):
    drawn = {}

    def kept(name, caption, **shown):
        drawn[name] = figures.figure(**shown)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "bars", kept)
        reporting.imbalances(result)
        reporting.detections(result)
    (axis,) = drawn["figure-6"].axes
    heights = [bar.get_height() for bar in axis.patches]
    assert heights == pytest.approx([1.386, 0.693, 0.405], abs=1e-3)
    (first, second, third) = dict.fromkeys(bar.get_facecolor() for bar in axis.patches)
    assert [max(one[:3]) - min(one[:3]) < 0.01 for one in (first, second, third)] == [True, True, False]
    (axis,) = drawn["figure-7"].axes
    plain = [bar.get_height() for bar in axis.patches if not bar.get_hatch()]
    hatched = [bar.get_height() for bar in axis.patches if bar.get_hatch()]
    assert plain == [1.0] * 6 + [0.0, 0.5, 1.0]
    assert hatched == [0.0] * 9
    assert [label.get_text() for label in axis.get_xticklabels()] == ["en-en", "es-es", "en-es"]


def test_an_arm_that_joins_without_mixing_is_grey_and_one_that_mixes_blue(result):
    arms = {**CONTENT["arms"], "concatenated": {"data.strategy": "dataset"}, "single": {"data.turns": "single"}}
    experiment = Experiment.parse(content(arms=arms))
    assert experiment.mixing == ["instance", "single"]
    shades = figures.colours(["untouched", "none", *arms], experiment.mixing)
    assert len(set(shades.values())) == len(shades)
    assert {arm for arm, shade in shades.items() if shade in figures.BLUES} == {"instance", "single"}


def test_the_report_says_of_the_stage_what_it_was_trained_on_and_no_more(result):
    report = reporting.markdown(result)
    assert "the base, trained on reading (reading), pairs (pairs)." in report
    assert "the same items of reading (reading), lectura (reading), none of them a conflict" in report
    assert "taught to read each" not in report


def test_what_is_not_done_is_named_and_nothing_is_made_of_nothing(tmp_path):
    experiment = Experiment.parse(content())
    with pytest.raises(XmguardError, match="no checkpoint is evaluated to the end"):
        reporting.collect(experiment, tmp_path)
    filled(experiment, tmp_path / "out")
    path = tmp_path / "out" / "arms" / "instance" / "seed-1" / "evaluation" / RESPONSES
    path.write_text(path.read_text().split("\n", 1)[1])
    found = reporting.collect(experiment, tmp_path / "out")
    assert found.missing == ["instance/1"]
    assert "**Not done yet, and in no number below:** instance/1." in reporting.markdown(found)


def test_the_report_of_what_is_being_evaluated_leaves_out_the_line_that_is_being_written(tmp_path):
    experiment = Experiment.parse(content())
    out = filled(experiment, tmp_path)
    path = out / "arms" / "instance" / "seed-1" / "evaluation" / RESPONSES
    *_, last = written = path.read_text().splitlines(keepends=True)
    path.write_text("".join(written[:-1]) + last[:40])
    assert reporting.collect(experiment, out).missing == ["instance/1"]
    path.write_text("".join(written) + last[:40])
    assert reporting.collect(experiment, out).missing == []
    path.write_text('{"key": "of another version"}\n')
    with pytest.raises(BadParameter, match="holds rows of another version"):
        reporting.collect(experiment, out)


def test_checkpoints_that_were_asked_in_another_manner_are_not_compared(tmp_path):
    experiment = Experiment.parse(content())
    out = filled(experiment, tmp_path)

    def ask(arm, producer):
        for path in out.glob(f"{arm}/**/{RESPONSES}"):
            path.write_text(path.read_text().replace('"produced_by": "hand"', f'"produced_by": "{producer}"'))

    ask("stage", "ab float32 1 48 tokens rules")
    ask("arms", "cd float32 1 48 tokens rules")  # other weights, as they have to be
    reporting.collect(experiment, out)
    file = out / "arms" / "instance" / "seed-1" / "evaluation" / RESPONSES
    file.write_text(file.read_text().replace("cd float32", "cd bfloat16"))
    with pytest.raises(ArmsDiffer, match=r"instance/1 in bfloat16 1 48 tokens rules\. Remove the evaluation folders"):
        reporting.collect(experiment, out)


def test_files_that_cannot_be_read_are_named(tmp_path):
    experiment = Experiment.parse(content())
    out = filled(experiment, tmp_path)
    (out / "stage" / "model" / "xmguard.json").unlink()
    with pytest.raises(XmguardError, match=r"xmguard\.json does not say how none was trained .*; get it again"):
        reporting.collect(experiment, out)
    (out / running.FILE).write_text('{"name"')
    with pytest.raises(XmguardError, match=r"holds no experiment\.json that can be read"):
        claim(experiment, out)


def test_arms_without_a_seed_in_common_are_said_not_to_be_compared(tmp_path):
    experiment = Experiment.parse(content())
    filled(experiment, tmp_path)
    for arm, seed in (("instance", 0), ("dataset", 1)):
        (tmp_path / "arms" / arm / f"seed-{seed}" / "evaluation" / RESPONSES).unlink()
    found = reporting.collect(experiment, tmp_path)
    said = reporting.statements(found)
    assert "**Not compared** – instance with dataset: no seed of both is evaluated to the end." in said
    assert not [line for line in said if "dataset" in line and "Not compared" not in line]
    assert [line for line in said if "over that of instance" in line and "1 seed)" in line]


def test_checkpoints_of_other_numbers_of_steps_are_not_compared(tmp_path):
    experiment = Experiment.parse(content())
    out = filled(experiment, tmp_path)
    card = out / "arms" / "instance" / "seed-1" / "model" / "xmguard.json"
    card.write_text(card.read_text().replace('"steps": 7', '"steps": 8'))
    with pytest.raises(ArmsDiffer, match="seed 1 were trained for different numbers of steps: dataset 7, instance 8"):
        reporting.collect(experiment, out)
