"""Experiments: what is refused before anything is trained, and what a folder of one is."""

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.unit.mixing_experiments import CONTENT, PAIRS, READING, SPANISH, content, filled
from xmguard import loading
from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.mixing import command_experiment, processor
from xmguard_research.mixing import experiment as running
from xmguard_research.mixing.arms import Experiment
from xmguard_research.mixing.command_experiment import TINY, shipped
from xmguard_research.mixing.experiment import ArmsDiffer, Made, asked, claim, evaluated, opened, require_equal


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


def test_what_was_asked_less_than_is_wanted_now_is_not_evaluated(tmp_path):
    experiment = Experiment.parse(content())
    one = evaluated(experiment, filled(experiment, tmp_path))[0]
    assert running.is_evaluated(one, asked(experiment))
    further = content()
    further["evaluation"][0]["items"] += 1
    assert not running.is_evaluated(one, asked(Experiment.parse(further)))
