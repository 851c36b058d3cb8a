"""CMQA as tasks: balanced, pictures where pictures belong, and answered by a tiny model that reads them."""

from collections import Counter

import pytest
from inspect_ai import eval as evaluate

from xmguard.errors import SetupIncomplete
from xmguard.testing.tiny_pictures import make_picture_model
from xmguard_research.benchmarks.asking import request_of
from xmguard_research.benchmarks.cmqa.suites import cmqa, cmqa_mini
from xmguard_research.benchmarks.suites import make, with_suites
from xmguard_research.scenes import assets


@pytest.fixture(autouse=True)
def _art():
    try:
        assets.art("noto")
    except SetupIncomplete as missing:
        pytest.skip(str(missing))


def kinds(sample):
    return ["text" if span.media is None else "image" for span in request_of(sample.input[0]).spans]


def test_the_mini_suite_has_three_triples_in_three_variants_and_three_prompts():
    samples = list(cmqa_mini().dataset)
    assert len(samples) == 54 == len({sample.id for sample in samples})
    cells = Counter((one.metadata["variant"], one.metadata["prompt"], one.metadata["conflict"]) for one in samples)
    assert set(cells.values()) == {3}
    assert {one.metadata["item"].split("-")[0] for one in samples} == {"activity", "price", "object"}
    for sample in samples:
        assert sample.metadata["variant"] == "-".join(kinds(sample))
        assert sample.metadata["conflict"] == (len(set(sample.metadata["answers"])) == 2)


def test_the_suites_take_their_options_as_words():
    told = {"triples": "2", "kinds": "price", "variants": "image-text", "prompts": "standard"}
    samples = list(make("cmqa", told, with_suites()).dataset)
    assert len(samples) == 8
    assert {tuple(kinds(sample)) for sample in samples} == {("image", "text")}
    samples = list(make("pixels", {"topics": "1", "pixels": "224", "prompts": "standard"}, with_suites()).dataset)
    assert Counter(tuple(kinds(sample)) for sample in samples) == {
        (first, second): 2 for first in ("text", "image") for second in ("text", "image")
    }


def test_a_tiny_model_answers_over_two_pictures_and_over_one(tmp_path, monkeypatch):
    pytest.importorskip("xmguard_image")
    monkeypatch.setenv("XMGUARD_PLUGINS", "image")
    folder = make_picture_model(tmp_path / "model", "Qwen2VL")
    task = cmqa(triples=1, variants="image-image,text-image", prompts="standard")
    (log,) = evaluate(task, model=f"xmguard/{folder}", log_dir=str(tmp_path), display="none", max_tokens=2)
    assert log.status == "success", log.error
    assert {sample.metadata["variant"] for sample in log.samples} == {"image-image", "text-image"}
    assert all(sample.error is None and sample.output.completion is not None for sample in log.samples)
    assert {sample.scores["says_conflict"].metadata["decision"] for sample in log.samples} <= {
        "CONFLICT",
        "CONSISTENT",
        "UNDETERMINED",
    }
