"""Data sets that the `datasets` package reads, from folders: no network."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.unit.mixing_recipes import recipe
from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard_research.mixing.sources import Read, read

USER, REPLY = {"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is prepared for one test is not there for the next, nor for whoever runs them."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def of_dataset(folder: Path, **source: Any) -> Read:
    told = {"name": "s", "modality": "en", "dataset": "set"} | source
    return read(recipe(folder, folder, [told], strategy="dataset"))[0]


def contents(found: Read) -> list[list[tuple[str, tuple[Any, ...]]]]:
    return [[(message.role, message.content) for message in one.messages] for one in found.items]


def test_a_package_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "set").mkdir()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SetupIncomplete, match="pip install"):
        of_dataset(tmp_path, messages="chat")


def test_a_folder_of_json_lines_is_a_data_set(tmp_path: Path):
    (tmp_path / "set").mkdir()
    rows = [{"chat": [USER, REPLY]}, {"chat": [{"role": "system", "content": "Be brief."}, USER, REPLY]}]
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = of_dataset(tmp_path, messages="chat")
    assert [one.id for one in found.items] == ["s-0", "s-1"]
    assert contents(found)[1][0] == ("system", ("Be brief.",))
    assert of_dataset(tmp_path, messages="chat").sha256 == found.sha256


@pytest.mark.parametrize("streaming", [False, True])
def test_parquet_with_pictures_in_it_is_read_row_by_row(tmp_path: Path, streaming: bool):
    import datasets
    from PIL import Image

    (tmp_path / "set").mkdir()
    art = [Image.new("RGB", (8 + index, 8), "red") for index in range(3)]
    columns = {"q": ["a?", "b?", "c?"], "a": ["x", "y", "z"], "art": art}
    features = datasets.Features(
        {"q": datasets.Value("string"), "a": datasets.Value("string"), "art": datasets.Image()}
    )
    made = datasets.Dataset.from_dict(columns, features=features)
    made.to_parquet(str(tmp_path / "set" / "train.parquet"))
    found = of_dataset(tmp_path, prompt="q", answer="a", images="art", limit=2, streaming=streaming)
    assert [one.messages[0].content[1] for one in found.items] == ["a?", "b?"]
    shown = [Image.open(BytesIO(one.pictures[0].seen().content)) for one in found.items]
    assert [picture.size for picture in shown] == [(8, 8), (9, 8)]
    assert found.items[0].where == "set, row 0"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("---\nlicense: cc-by-4.0\n---\n", "cc-by-4.0"),
        ("---\nlicense: [mit, gpl]\n---\n", "mit, gpl"),
        ("---\ndataset_info:\n  license: own\nlicense: mit\n---\n", "own"),
        ("---\ntags: [a]\n---\n", None),
        ("No more than words.", None),
        (None, None),
    ],
)
def test_the_licence_is_that_of_the_page_unless_the_recipe_says_another(tmp_path: Path, page: str | None, said: str):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(json.dumps({"chat": [USER, REPLY]}) + "\n", encoding="utf-8")
    if page is not None:
        (tmp_path / "set" / "README.md").write_text(page, encoding="utf-8")
    assert of_dataset(tmp_path, messages="chat").license == said
    assert of_dataset(tmp_path, messages="chat", license="Apache-2.0").license == "Apache-2.0"


def test_a_page_of_the_hub_that_is_not_to_be_had_leaves_the_licence_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import datasets
    import huggingface_hub

    asked = []

    def gone(*told: Any, **further: Any) -> str:
        asked.append((*told, *further.values()))
        raise OSError("no hub")

    there = datasets.Dataset.from_dict({"q": ["a?"], "a": ["x"]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *ignored, **ignored_too: there)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gone)
    assert of_dataset(tmp_path, prompt="q", answer="a", dataset="owner/set", revision="abc").license is None
    assert asked == [("owner/set", "README.md", "dataset", "abc")]


def test_a_data_set_with_code_is_refused_before_anything_reads_it(tmp_path: Path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.py").write_text("raise SystemExit('this ran')\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"with code \(set\.py\), which is not run"):
        of_dataset(tmp_path, messages="chat")


def test_a_folder_where_the_command_runs_is_not_taken_for_one_beside_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "elsewhere" / "set").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InvalidRequest, match=f"set is there where the command runs, .* give its path from {tmp_path}"):
        of_dataset(tmp_path, messages="chat")


def test_a_folder_has_no_revision(tmp_path: Path):
    (tmp_path / "set").mkdir()
    with pytest.raises(InvalidRequest, match="is a folder and has no revision"):
        of_dataset(tmp_path, messages="chat", revision="main")


@pytest.mark.parametrize("changes", [{"split": "dev"}, {"dataset": "none-of-this-name"}])
def test_what_cannot_be_read_is_named(tmp_path: Path, changes: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(json.dumps({"chat": [USER, REPLY]}) + "\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"data\.sources\[0\]\.dataset: data set '.*' cannot be read"):
        of_dataset(tmp_path, messages="chat", **changes)


def of_columns(folder: Path, **columns: tuple[Any, list[Any]]) -> None:
    """A data set of one parquet file, by columns: what each is, and what it holds."""
    import datasets

    (folder / "set").mkdir()
    features = datasets.Features({name: kind for name, (kind, _) in columns.items()})
    made = datasets.Dataset.from_dict({name: values for name, (_, values) in columns.items()}, features=features)
    made.to_parquet(str(folder / "set" / "train.parquet"))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_may_have_no_picture_and_what_is_not_asked_for_is_not_decoded(tmp_path: Path, streaming: bool):
    import datasets
    from PIL import Image

    text = datasets.Value("string")
    art = {"bytes": b"no picture", "path": None}
    of_columns(
        tmp_path,
        q=(text, ["a?", "b?"]),
        a=(text, ["x", "y"]),
        art=(datasets.Image(), [Image.new("RGB", (8, 8)), None]),
        more=(datasets.Image(), [art, art]),
    )
    found = of_dataset(tmp_path, prompt="q", answer="a", images="art", streaming=streaming, limit=9)
    assert [len(one.pictures) for one in found.items] == [1, 0]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_may_have_several_pictures(tmp_path: Path, streaming: bool):
    import datasets
    from PIL import Image

    text, art = datasets.Value("string"), [Image.new("RGB", (size, 8)) for size in (8, 9)]
    pictures = (datasets.List(datasets.Image()), [art])
    of_columns(tmp_path, q=(text, ["a?"]), a=(text, ["x"]), art=pictures)
    (one,) = of_dataset(tmp_path, prompt="q", answer="a", images="art", streaming=streaming, limit=9).items
    assert [Image.open(BytesIO(each.content())).size for each in one.pictures] == [(8, 8), (9, 8)]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_of_pictures_is_a_data_set(tmp_path: Path, streaming: bool):
    from PIL import Image

    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "q": "a?", "a": "x"}\n', encoding="utf-8")
    (one,) = of_dataset(tmp_path, prompt="q", answer="a", images="image", streaming=streaming, limit=9).items
    assert one.pictures[0].content() == (folder / "a.png").read_bytes()


def test_a_path_shows_what_is_in_the_folder_and_of_the_hub_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import datasets
    from PIL import Image

    text = datasets.Value("string")
    Image.new("RGB", (8, 8)).save(tmp_path / "out.png")
    outside = {"bytes": None, "path": str(tmp_path / "out.png")}
    of_columns(
        tmp_path,
        q=(text, ["a?"]),
        n=(datasets.Value("int64"), [1]),
        written=(text, ["in.png"]),
        art=(datasets.Image(decode=False), [outside]),
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "in.png")
    of = {"prompt": "q", "answer": "q"}
    (one,) = of_dataset(tmp_path, **of, images="written").items
    assert one.pictures[0].content() == (tmp_path / "set" / "in.png").read_bytes()
    with pytest.raises(InvalidRequest, match=r"set, row 0: picture .*out\.png lies outside of"):
        of_dataset(tmp_path, **of, images="art")
    with pytest.raises(InvalidRequest, match="set, row 0: column 'n' holds no picture, but int"):
        of_dataset(tmp_path, **of, images="n")
    there = datasets.load_dataset(str(tmp_path / "set"), split="train")
    monkeypatch.setattr(datasets, "load_dataset", lambda *ignored, **ignored_too: there)
    with pytest.raises(InvalidRequest, match="owner/set, row 0: column 'art' holds the path of a picture; take"):
        of_dataset(tmp_path, **of, images="art", dataset="owner/set", license="MIT")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_that_is_not_there_or_empty_is_named_with_what_is_wrong(tmp_path: Path, streaming: bool):
    import datasets

    text, number = datasets.Value("string"), datasets.Value("int64")
    of_columns(tmp_path, q=(text, ["a?", "b?"]), a=(text, ["x", None]), n=(number, [7, None]))
    of = {"prompt": "q", "streaming": streaming, "limit": 9}
    with pytest.raises(InvalidRequest, match=r"'set' has no column 'reply', named by answer .*; there are q, a"):
        of_dataset(tmp_path, answer="reply", **of)
    with pytest.raises(InvalidRequest, match=r"set, row 1: messages\[1\]: content has to be a text"):
        of_dataset(tmp_path, answer="a", **of)
    with pytest.raises(InvalidRequest, match=r"set, row 0: messages\[1\]: content has to be a text .*, and is int"):
        of_dataset(tmp_path, answer="n", **of)
    with pytest.raises(InvalidRequest, match="set, row 1: has nothing in column 'n', named by id of source 's'"):
        of_dataset(tmp_path, answer="q", id="n", **of)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("train.csv", b"q,a\n\xe9,y\n", "'utf-8' codec can't decode"), ("train.jsonl", b"", "its files hold no row")],
)
def test_a_file_that_is_broken_or_empty_is_said_to_be_so(
    tmp_path: Path, name: str, content: bytes, said: str, streaming: bool
):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_bytes(content)
    with pytest.raises(InvalidRequest, match=f"data set 'set' cannot be read.*: {said}"):
        of_dataset(tmp_path, prompt="q", answer="a", streaming=streaming, limit=9)


def test_a_stream_that_breaks_off_says_where(tmp_path: Path):
    (tmp_path / "set").mkdir()
    line = json.dumps({"chat": [USER, REPLY]}) + "\n"
    (tmp_path / "set" / "train-0.jsonl").write_text(line * 2, encoding="utf-8")
    (tmp_path / "set" / "train-1.jsonl").write_text("this is no JSON\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"\[0\]\.dataset: data set 'set' cannot be read beyond its first 2"):
        of_dataset(tmp_path, messages="chat", streaming=True, limit=9)
