"""What a model wrote, as a suite."""

from io import BytesIO

import pytest
from PIL import Image

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.asking import request_of
from xmguard_research.benchmarks.clqa.files import write
from xmguard_research.benchmarks.clqa.items import items
from xmguard_research.benchmarks.cmqa.telling import Telling
from xmguard_research.benchmarks.generated import pairs
from xmguard_research.benchmarks.generated.pairs import Item, Source
from xmguard_research.benchmarks.generated.suites import clqa_generated, cmqa_generated


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


@pytest.fixture
def folder(tmp_path):
    """A triple's items in two variants, of a description and a picture."""
    stream = BytesIO()
    Image.linear_gradient("L").save(stream, "PNG")
    shown = Source("surfing", picture=pairs.album(tmp_path).keep(stream.getvalue()), is_drawn=True)
    told = Source("skiing", Telling("They ski.", 0, 8))
    made = [
        Item("7/text-image/ba", "7", "what is, other", "text-image", "ba", "What do they do?", (told, shown)),
        Item("7/image-image/aa", "7", "what is, other", "image-image", "aa", "What do they do?", (shown, shown)),
    ]
    pairs.write(made, tmp_path)
    return tmp_path


def test_a_folder_of_pairs_becomes_samples_with_their_pictures(folder):
    dataset = cmqa_generated(folder=str(folder), prompts="standard").dataset
    assert [(sample.target, sample.metadata["variant"]) for sample in dataset] == [
        ("conflict", "text-image"),
        ("consistent", "image-image"),
    ]
    request = request_of(dataset[0].input[0])
    assert request.spans[0].text == "They ski."
    assert request.spans[1].media.data.startswith(b"\x89PNG")
    assert len(cmqa_generated(folder=str(folder), variants="text-image", prompts="standard").dataset) == 1
    with pytest.raises(InvalidRequest, match="has no item of text-text"):
        cmqa_generated(folder=str(folder), variants="text-text")


def test_a_folder_that_lacks_something_says_what_and_what_makes_it(folder):
    for wrong in ("", str(folder / "nothing")):
        with pytest.raises(InvalidRequest, match="cmqa --out FOLDER makes it"):
            cmqa_generated(folder=wrong)
    (picture,) = (folder / "pictures").iterdir()
    picture.write_bytes(b"another")
    with pytest.raises(InvalidRequest, match="not what was written"):
        cmqa_generated(folder=str(folder))
    picture.unlink()
    with pytest.raises(InvalidRequest, match="is not there; the command that wrote it"):
        cmqa_generated(folder=str(folder))
    lines = (folder / "items.jsonl").read_text(encoding="utf-8")
    (folder / "items.jsonl").write_text(lines.replace('"conflict":true', '"conflict":false'), encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"items.jsonl:1: is no item of this suite: .*disagree"):
        cmqa_generated(folder=str(folder))
