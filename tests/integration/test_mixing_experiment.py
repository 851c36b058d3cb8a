"""A whole experiment on a tiny model with random weights: trained, asked, reported, and done once."""

import json
from importlib.metadata import entry_points

import pytest

from xmguard.errors import SetupIncomplete, XmguardError
from xmguard.testing.tiny import make_model
from xmguard.testing.tiny_pictures import make_picture_model
from xmguard_research.mixing import evaluating, experiment, reporting, training
from xmguard_research.mixing.arms import Experiment
from xmguard_research.scenes import assets

# Of PEFT, about an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def source(name, modality, generator, **options):
    return {"name": name, "modality": modality, "generator": generator, "options": {"size": "short", **options}}


def made(base):
    train = {"rank": 2, "alpha": 4, "items_per_step": 4, "instances_per_forward": 4, "modules": ["q_proj", "v_proj"]}
    reading = [
        source("en", "en", "reading", topics=10, seed=1),
        source("es", "es", "reading", topics=10, language="es"),
    ]
    pairs = source("pairs", "en", "pairs", topics=6, languages=[["en", "en"]], third=0.0)
    return Experiment.parse(
        {
            "name": "tried",
            "title": "Tried",
            "base": str(base),
            "license": "MIT",
            "stage": {
                "data": {"strategy": "dataset", "items": 1, "trained_tokens": 500, "sources": [pairs]},
                "train": train,
            },
            "training": {"data": {"trained_tokens": 140, "sources": reading}, "train": train},
            "arms": {
                "dataset": {"data.strategy": "dataset", "data.items": 1},
                "instance": {"data.strategy": "instance", "data.items": 2},
            },
            "seeds": [0],
            "compare": [["instance", "dataset"], ["instance", "none"]],
            "evaluation": [
                {"suite": "clqa", "variants": ["en-es"], "items": 1, "questions": 1, "prompts": ["standard"]}
            ],
            "dtype": "float32",
        }
    )


def test_an_experiment_trains_asks_and_reports_every_arm_once(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    wanted, out = made(make_model(tmp_path / "base")), tmp_path / "out"
    experiment.run(wanted, out)
    found = reporting.collect(wanted, out)
    assert set(found.arms) == {"none", "dataset", "instance"}
    steps = {(one["arm"], one["items"], one["steps"]) for one in found.trainings if one["arm"] != "none"}
    assert len({(items, count) for _, items, count in steps}) == 1
    assert all(one["items"] and one["instances"] for one in found.trainings)
    assert {arm for arm, *_ in steps} == {"dataset", "instance"}
    base, *others = [found.of("imbalance", arm=arm)[0].estimate.value for arm in ("none", "dataset", "instance")]
    assert all(abs(other - base) > 1e-6 for other in others)
    card = json.loads((out / "arms" / "instance" / "seed-0" / "model" / "xmguard.json").read_text())
    assert {row["what"] for row in card["benchmarks"]} >= {"detection", "false alarms", "imbalance", "exact"}
    assert {path.name for path in reporting.write(found, out)} >= {"report.md", "figure-6.svg", "figure-7.png"}

    def nothing(*ignored, **ignored_too):
        raise AssertionError("what is done is done again")

    monkeypatch.setattr(training, "_trainer", nothing)
    monkeypatch.setattr(evaluating, "respond", nothing)
    experiment.run(wanted, out)

    responses = out / "stage" / "evaluation" / "responses.jsonl"
    responses.write_text(responses.read_text().replace(" float32 ", " bfloat16 "))
    with pytest.raises(
        XmguardError, match=r"none was asked .*in another dtype .*; remove .*stage/evaluation to ask it again"
    ):
        experiment.run(wanted, out)


def scenes(name, generator="scene-reading", **options):
    return {"name": name, "modality": name, "generator": generator, "options": options}


def test_an_experiment_across_modalities_trains_on_pictures_and_asks_about_them(tmp_path, monkeypatch):
    if "image" not in {entry.name for entry in entry_points(group="xmguard")}:
        pytest.skip("xmguard-image is not installed")
    try:
        assets.art("noto")
    except SetupIncomplete as missing:
        pytest.skip(str(missing))
    monkeypatch.setenv("XMGUARD_PLUGINS", "image")
    monkeypatch.setattr(evaluating, "TOKENS", 2)
    content = made(make_picture_model(tmp_path / "base", "Llava")).model_dump(mode="json")
    content["stage"]["data"]["trained_tokens"] = 300
    content["stage"]["data"]["sources"] = [
        scenes("image", "scene-pairs", topics=4, modalities=[["image", "image"]], kinds={"twins": 1})
    ]
    content["training"]["data"]["trained_tokens"] = 60
    content["training"]["data"]["sources"] = [
        scenes(modality, topics=6, seed=seed, modality=modality) for seed, modality in enumerate(("text", "image"))
    ]
    asked = {"suite": "cmqa", "variants": ["text-image"], "items": 1, "questions": 0, "prompts": ["standard"]}
    content["evaluation"] = [asked | {"kinds": ["activity"]}]
    wanted, out = Experiment.parse(content), tmp_path / "out"
    experiment.run(wanted, out)
    found = reporting.collect(wanted, out)
    base, *others = [found.of("imbalance", arm=arm)[0].estimate.value for arm in ("none", "dataset", "instance")]
    assert all(abs(other - base) > 1e-6 for other in others)
