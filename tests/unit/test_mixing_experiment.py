"""Experiments: what is refused before anything is trained, and the report of responses whose numbers are known."""

import csv
import json
import re
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer import BadParameter

from xmguard import loading
from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.metrics import Estimate
from xmguard_research.mixing import command_experiment, figures, processor, reporting
from xmguard_research.mixing import experiment as running
from xmguard_research.mixing.arms import Experiment
from xmguard_research.mixing.command_experiment import TINY, shipped
from xmguard_research.mixing.crossed import Crossed
from xmguard_research.mixing.evaluating import RESPONSES, Response, key
from xmguard_research.mixing.experiment import ArmsDiffer, Made, asked, claim, evaluated, opened, require_equal
from xmguard_research.mixing.measures import Number
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


def made(arm="dataset", seed=0, steps=4, turns="multi", trained_tokens=50, drawn=("a", "b"), held="same"):
    counted = Counter(("reading", name) for name in drawn)
    return Made(arm, seed, 4, len(drawn), trained_tokens, 100, steps, turns, counted, {"reading": held})


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
    with pytest.raises(InvalidRequest, match="evaluation has clqa twice"):
        Experiment.parse(content(evaluation=CONTENT["evaluation"] * 2))
    with pytest.raises(XmguardError, match=r"absent\.yaml cannot be read"):
        Experiment.read(tmp_path / "absent.yaml")
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content()))
    assert Experiment.read(file, ["seeds=[7]", "training.data.trained_tokens=30"]).seeds == [7]
    with pytest.raises(InvalidRequest, match="leads nowhere"):
        Experiment.read(file, ["seeds.x.y=1"])
    for change in ("seeds.-1=1", "seeds.9=1"):
        with pytest.raises(InvalidRequest, match=r"--set: .* leads nowhere"):
            Experiment.read(file, [change])
    with pytest.raises(InvalidRequest, match="--set seeds:1: is no YAML"):
        Experiment.read(file, ["seeds=[1"])
    file.write_text(file.read_text() + "seeds: [5]\n")
    with pytest.raises(InvalidRequest, match=r"small\.yaml:\d+: is no YAML: 'seeds' is there twice"):
        Experiment.read(file)


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
    with pytest.raises(ArmsDiffer, match="not of the same items"):
        require_equal([made(), made("instance", held="other")])
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


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({}, "does not say whether it is a conflict"),
        ({"conflict": "no"}, "does not say whether it is a conflict"),
        ({"conflict": True}, "is a conflict, and does not say of what"),
        ({"conflict": True, "modalities": ["text", "image"]}, "is a conflict across modalities"),
    ],
)
def test_a_stage_says_of_every_item_whether_it_is_a_conflict_and_of_what(tmp_path, meta, said):
    asked_and_told = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "That."}]
    (tmp_path / "mine.jsonl").write_text(json.dumps({"id": "one", "messages": asked_and_told, "meta": meta}) + "\n")
    mine = {"name": "mine", "modality": "en", "path": "mine.jsonl"}
    stage = {"data": {"strategy": "dataset", "items": 1, "trained_tokens": 100, "sources": [READING, mine]}}
    with pytest.raises(InvalidRequest, match=rf"stage\.data\.sources\.mine: item one of .*mine.jsonl:1 {said}"):
        running.require_no_conflict(Experiment.parse(content(stage=stage)), tmp_path)


def test_a_stage_that_mixes_within_an_instance_is_refused():
    stage = {"data": {"strategy": "instance", "items": 2, "trained_tokens": 100, "sources": [READING, SPANISH]}}
    with pytest.raises(InvalidRequest, match=r"stage\.data\.strategy: is instance"):
        Experiment.parse(content(stage=stage))


@pytest.mark.parametrize("name", ["train.learning_rate", "data.trained_tokens", "data.seed"])
def test_arms_differ_in_how_items_are_put_together_alone(name):
    odd = {**CONTENT["arms"], "odd": {"data.items": 2, name: 1}}
    with pytest.raises(InvalidRequest, match=rf"arms\.odd\.{name}: is nothing that arms may differ in"):
        Experiment.parse(content(arms=odd))


def test_what_cannot_be_done_is_refused_before_anything_is_trained(tmp_path, monkeypatch, tiny_folder):
    def train(*ignored):
        raise AssertionError("something is trained")

    monkeypatch.setattr(running, "train", train)
    wrong = content()
    wrong["evaluation"][0]["variants"] = ["en-xx"]
    with pytest.raises(InvalidRequest, match="xx"):
        running.run(Experiment.parse(wrong), tmp_path / "asked")
    wrong["evaluation"][0] |= {"items": 0, "questions": 0}
    with pytest.raises(InvalidRequest, match="nothing is asked of clqa"):
        running.run(Experiment.parse(wrong), tmp_path / "nothing")
    uneven = content(base=str(tiny_folder), seeds=[0])
    uneven["stage"]["data"]["trained_tokens"] = 1000
    uneven["training"]["train"] = {"items_per_step": 2, "instances_per_forward": 1}
    uneven["arms"]["concatenated"] = {"data.strategy": "dataset", "data.items": 2}
    with pytest.raises(ArmsDiffer, match="steps"):
        running.run(Experiment.parse(uneven), tmp_path / "steps")
    assert not list(tmp_path.iterdir())


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


def test_checkpoints_are_asked_on_the_device_that_is_named(tmp_path, monkeypatch):
    given = []

    def load_guard(model, **settings):
        given.append(settings)
        raise XmguardError("enough")

    monkeypatch.setattr(loading, "load_guard", load_guard)
    experiment = Experiment.parse(content(untouched=True))
    monkeypatch.setattr(running, "require_no_conflict", lambda *ignored: None)
    with pytest.raises(XmguardError, match="enough"):
        running.run(experiment, tmp_path, ["untouched"], device="cuda:1")
    assert given == [{"device": "cuda:1", "dtype": "bfloat16"}]


def test_an_experiment_says_once_that_its_evaluation_is_slow_here(monkeypatch):
    monkeypatch.setattr(processor, "emulation", lambda option: f"bfloat16 is slow; {option}")
    said = []
    for dtype in ("bfloat16", "float32"):
        running._tell_emulation(Experiment.parse(content(dtype=dtype)), said.append)
    assert len(said) == 1
    assert "--set dtype=float32" in said[0]


def test_a_plan_says_what_there_is_to_do_and_writes_nothing(tmp_path, monkeypatch, tiny_folder, capsys):
    monkeypatch.setattr(processor, "emulation", lambda option: f"bfloat16 is slow; {option}")
    small = content(base=str(tiny_folder), seeds=[0])
    small["stage"]["data"]["trained_tokens"] = small["training"]["data"]["trained_tokens"] = 600
    small["training"]["train"] = {"items_per_step": 2, "instances_per_forward": 1}
    for dtype in ("bfloat16", "float32"):
        train = {"precision": "bf16" if dtype == "bfloat16" else "fp32"}
        small["stage"]["train"] = train
        small["training"]["train"] |= train
        command_experiment._plan(Experiment.parse(small | {"dtype": dtype}), tmp_path / "out")
        shown = capsys.readouterr().out
        assert "3 checkpoints, each asked" in shown
        assert "evaluated already: none" in " ".join(shown.split())
        assert ("bfloat16 is slow; --set stage.train.precision=fp32" in shown) is (dtype == "bfloat16")
    assert not list(tmp_path.iterdir())


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
        training = {"trained_tokens": 50, "read_tokens": 500, "steps": steps, "seconds": 3.0}
        training["data"] = {"instances": 4, "items": 8}
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


def test_what_was_asked_less_than_is_wanted_now_is_not_evaluated(tmp_path):
    experiment = Experiment.parse(content())
    one = evaluated(experiment, filled(experiment, tmp_path))[0]
    assert running.is_evaluated(one, asked(experiment))
    further = content()
    further["evaluation"][0]["items"] += 1
    assert not running.is_evaluated(one, asked(Experiment.parse(further)))


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
