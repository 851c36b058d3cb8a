"""Experiments: what is refused before anything is trained, and the report of responses whose numbers are known."""

import csv
import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.mixing import experiment as running
from xmguard_research.mixing import figures, reporting
from xmguard_research.mixing.arms import Experiment
from xmguard_research.mixing.command_experiment import TINY, shipped
from xmguard_research.mixing.evaluating import RESPONSES, Response, key
from xmguard_research.mixing.experiment import ArmsDiffer, Made, asked, claim, evaluated, opened, require_equal
from xmguard_research.mixing.posing import CONFLICT

READING = {"name": "reading", "modality": "en", "generator": "reading", "options": {"topics": 4}}
SPANISH = {"name": "lectura", "modality": "es", "generator": "reading", "options": {"topics": 4, "language": "es"}}
PAIRS = {"name": "pairs", "modality": "en", "generator": "pairs", "options": {"topics": 4, "languages": [["en", "en"]]}}
CONTENT = {
    "name": "small",
    "title": "Small",
    "base": "smollm2",
    "license": "Apache-2.0",
    "stage": {"data": {"strategy": "dataset", "items": 1, "trained_tokens": 100, "sources": [READING, PAIRS]}},
    "training": {"data": {"trained_tokens": 100, "sources": [READING, SPANISH]}},
    "arms": {"dataset": {"data.strategy": "dataset", "data.items": 1}, "instance": {"data.items": 2}},
    "seeds": [0, 1],
    "compare": [["instance", "dataset"], ["instance", "none"]],
    "evaluation": [
        {"suite": "clqa", "variants": ["en-en", "es-es", "en-es"], "items": 2, "questions": 2, "prompts": ["standard"]}
    ],
}


def content(**changes):
    return json.loads(json.dumps({**CONTENT, **changes}))


def made(arm="dataset", seed=0, steps=4, turns="multi", trained_tokens=50, drawn=("a", "b")):
    counted = Counter(("reading", name) for name in drawn)
    return Made(arm, seed, 4, len(drawn), trained_tokens, 100, steps, turns, counted)


def test_the_shipped_experiments_can_be_read_whole_and_tiny():
    for file in sorted((Path(running.__file__).parent / "experiments").glob("*.yaml")):
        assert Experiment.read(file).name == file.stem
        assert Experiment.read(shipped(Path(file.stem)), TINY).seeds == [0]


def test_an_experiment_is_refused_with_everything_that_is_wrong_in_it(tmp_path):
    with pytest.raises(InvalidRequest, match="'nothing' is no arm; there are dataset, instance, none"):
        Experiment.parse(content(compare=[["instance", "nothing"]]))
    with pytest.raises(InvalidRequest, match="'none' is the name of what is not an arm"):
        Experiment.parse(content(arms={"none": {}}))
    with pytest.raises(InvalidRequest, match=r"arms\.odd: data\.itmes: is no field of a recipe; did you mean 'items'"):
        Experiment.parse(content(arms={"odd": {"data.itmes": 2}}, compare=[]))
    with pytest.raises(XmguardError, match=r"absent\.yaml cannot be read"):
        Experiment.read(tmp_path / "absent.yaml")
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content()))
    assert Experiment.read(file, ["seeds=[7]", "training.data.trained_tokens=30"]).seeds == [7]
    with pytest.raises(InvalidRequest, match="leads nowhere"):
        Experiment.read(file, ["seeds.x.y=1"])


def test_a_recipe_has_what_sets_its_arm_apart_and_its_seed(tmp_path):
    experiment = Experiment.parse(content())
    dataset, instance = (experiment.recipe(arm, 1, tmp_path) for arm in ("dataset", "instance"))
    assert (dataset.data.strategy, dataset.data.items) == ("dataset", 1)
    assert (instance.data.strategy, instance.data.items) == ("instance", 2)
    assert {recipe.data.seed for recipe in (dataset, instance)} == {1}
    assert {recipe.train.seed for recipe in (dataset, instance)} == {1}
    assert experiment.stage_recipe(tmp_path).base == "smollm2"


def test_arms_of_other_items_steps_or_tokens_are_refused():
    require_equal([made(), made("instance"), made(seed=1, steps=9), made("instance", seed=1, steps=9)])
    with pytest.raises(ArmsDiffer, match="not of the same items"):
        require_equal([made(), made("instance", drawn=("a", "c"))])
    with pytest.raises(ArmsDiffer, match="4 and 5 steps"):
        require_equal([made(), made("instance", steps=5)])
    with pytest.raises(ArmsDiffer, match="50 and 51 trained tokens"):
        require_equal([made(), made("instance", trained_tokens=51)])
    require_equal([made(), made("single", turns="single", trained_tokens=51)])


def test_an_arm_that_holds_a_conflict_is_refused(tmp_path):
    experiment = Experiment.parse(content())
    running.require_no_conflict(experiment, tmp_path)
    taught = Experiment.parse(content(training={"data": {"trained_tokens": 100, "sources": [PAIRS, SPANISH]}}))
    with pytest.raises(InvalidRequest, match=r"training\.data\.sources\.pairs: item .* is a conflict"):
        running.require_no_conflict(taught, tmp_path)


def test_items_that_do_not_say_whether_they_are_conflicts_are_refused(tmp_path):
    said = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "That."}]
    (tmp_path / "mine.jsonl").write_text(json.dumps({"id": "one", "messages": said}) + "\n")
    mine = {"name": "mine", "modality": "en", "path": "mine.jsonl"}
    experiment = Experiment.parse(content(training={"data": {"trained_tokens": 100, "sources": [mine, SPANISH]}}))
    with pytest.raises(InvalidRequest, match="does not say that it is none"):
        running.require_no_conflict(experiment, tmp_path)


def test_a_stage_that_teaches_conflicts_across_languages_is_refused(tmp_path):
    across = {**PAIRS, "options": {"topics": 8, "languages": [["en", "es"]]}}
    stage = {"data": {"strategy": "dataset", "items": 1, "trained_tokens": 100, "sources": [READING, across]}}
    with pytest.raises(InvalidRequest, match="is a conflict across languages"):
        running.require_no_conflict(Experiment.parse(content(stage=stage)), tmp_path)


def test_a_folder_keeps_its_experiment_but_takes_further_arms_seeds_and_questions(tmp_path):
    claim(Experiment.parse(content()), tmp_path)
    further = content(arms={**CONTENT["arms"], "single": {"data.turns": "single"}}, seeds=[0, 1, 2])
    further["evaluation"][0]["items"] = 3
    claim(Experiment.parse(further), tmp_path)
    assert set(opened(tmp_path).arms) == {"dataset", "instance", "single"}
    other = content()
    other["training"]["data"]["trained_tokens"] = 99
    with pytest.raises(InvalidRequest, match="another training"):
        claim(Experiment.parse(other), tmp_path)
    with pytest.raises(InvalidRequest, match=r"another arms\.instance"):
        claim(Experiment.parse(content(arms={"instance": {"data.turns": "single"}}, compare=[])), tmp_path)
    with pytest.raises(XmguardError, match="holds no experiment"):
        opened(tmp_path / "nowhere")


def test_only_what_exists_can_be_asked_for(tmp_path):
    with pytest.raises(InvalidRequest, match="'instance/5' is not there"):
        running.run(Experiment.parse(content()), tmp_path, ["instance/5"])


# -- the report ----------------------------------------------------------------------------------------------------

DETECTED = {"none": 0, "dataset": 1, "instance": 2}
"""Topics of two whose conflicts across languages are reported."""
RATIO = {"none": 4.0, "dataset": 2.0, "instance": 1.5}


def responses(experiment, arm):
    topics = sorted({one.case.item for one in asked(experiment) if one.task == CONFLICT})
    for one in asked(experiment):
        conflict = one.case.conflict
        crosses = len(set(one.labels)) > 1
        reported = conflict and (not crosses or one.case.item in topics[: DETECTED[arm]])
        pair = one.task == CONFLICT
        yield Response(
            key=key(one, "standard"),
            produced_by="hand",
            suite=one.suite,
            task=one.task,
            case=one.case.id,
            item=one.case.item,
            variant=one.variant,
            labels=list(one.labels),
            prompt="standard",
            conflict=conflict,
            words="",
            reported=reported if pair else False,
            reason="",
            expected=one.expected,
            exact=None if pair else arm != "instance",
            holds=None if pair else True,
            tokens=[10] * len(one.labels),
            norms=[RATIO[arm] if crosses and label == "en" else 1.0 for label in one.labels],
        )


def filled(experiment, out, steps=7):
    claim(experiment, out)
    for one in evaluated(experiment, out):
        one.evaluation.mkdir(parents=True)
        one.model.mkdir()
        rows = [json.dumps(asdict(row)) + "\n" for row in responses(experiment, one.arm)]
        (one.evaluation / RESPONSES).write_text("".join(rows))
        training = {"trained_tokens": 50, "read_tokens": 500, "steps": steps, "seconds": 3.0, "data": {"items": 8}}
        (one.model / "xmguard.json").write_text(json.dumps({"training": training}))
    return out


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
    assert "**Shown, above 1** – clqa en-es: imbalance of none over that of instance is 3.42 times." in report
    assert "**Not shown** – clqa en-es: detection of instance minus that of dataset" in report
    assert re.search(r"\| instance \| 1 \| 50 \| 500 \|", report)
    assert "Not done yet" not in report
    assert "2 topics, each in conflicts and controls" in report
    head = "| arm | seed | en-es detection | en-es false alarms | en-es imbalance |"
    assert head in report
    assert "| dataset | 1 | 50 | 0 | 0.693 |" in report


def test_what_is_worse_is_said_as_what_is_better_is(result):
    said = [line for line in reporting.statements(result) if "exact answers of instance minus those of dataset" in line]
    assert said
    assert all(line.startswith("**Shown, below 0**") for line in said)


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
    (axis,) = drawn["figure-7"].axes
    plain = [bar.get_height() for bar in axis.patches if not bar.get_hatch()]
    hatched = [bar.get_height() for bar in axis.patches if bar.get_hatch()]
    assert plain == [1.0] * 6 + [0.0, 0.5, 1.0]
    assert hatched == [0.0] * 9
    assert [label.get_text() for label in axis.get_xticklabels()] == ["en-en", "es-es", "en-es"]


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


def test_checkpoints_of_other_numbers_of_steps_are_not_compared(tmp_path):
    experiment = Experiment.parse(content())
    out = filled(experiment, tmp_path)
    card = out / "arms" / "instance" / "seed-1" / "model" / "xmguard.json"
    card.write_text(card.read_text().replace('"steps": 7', '"steps": 8'))
    with pytest.raises(ArmsDiffer, match="seed 1 were trained for different numbers of steps: dataset 7, instance 8"):
        reporting.collect(experiment, out)
