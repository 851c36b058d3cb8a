"""What a model wrote, as a suite."""

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.clqa.files import write
from xmguard_research.benchmarks.clqa.items import items
from xmguard_research.benchmarks.generated.suites import clqa_generated


def test_a_file_of_items_becomes_samples_by_variant(tmp_path):
    path = tmp_path / "clqa.jsonl"
    write(items(1, chosen=[("en", "en"), ("en", "zh")], sizes=["short"]), path)
    assert len(clqa_generated(data=str(path), prompts="standard").dataset) == 8
    chosen = clqa_generated(data=str(path), variants="en-zh", prompts="standard").dataset
    assert {sample.metadata["variant"] for sample in chosen} == {"en-zh", "zh-en"}
    with pytest.raises(InvalidRequest, match="has no item of en-tr"):
        clqa_generated(data=str(path), variants="en-tr")


def test_a_file_that_is_missing_says_what_makes_one(tmp_path):
    for wrong in ("", str(tmp_path / "nothing.jsonl")):
        with pytest.raises(InvalidRequest, match="--out FILE makes one"):
            clqa_generated(data=wrong)
