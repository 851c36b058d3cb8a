"""Data sets that the `datasets` package reads, from folders: no network."""

from __future__ import annotations

import json
import sys
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
    assert [one.pictures[0].seen().size for one in found.items] == [(8, 8), (9, 8)]
    assert found.items[0].where == "set, row 0"


def test_a_data_set_with_code_is_refused_before_anything_reads_it(tmp_path: Path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.py").write_text("raise SystemExit('this ran')\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"with code \(set\.py\), which is not run"):
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
