"""What a training starts from is found as it is for serving, wherever the command runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.mixing_recipes import adapter
from xmguard.errors import ModelRefused
from xmguard.models import resolve
from xmguard_research.mixing.bases import find_base


def test_a_base_beside_its_adapter_is_found_from_anywhere_and_named_so_that_another_card_finds_it(
    tmp_path: Path, tiny_folder: Path, registry, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "base").symlink_to(tiny_folder)
    folder = adapter(tmp_path / "run" / "model", "../../base")
    monkeypatch.chdir(tmp_path / "run")
    found = find_base("model", registry)
    assert (found.path, found.adapter) == (tiny_folder.resolve(), folder.resolve())
    assert found.name == str(tiny_folder.resolve())


def test_a_folder_where_the_command_runs_is_named_whole(
    tmp_path: Path, tiny_folder: Path, registry, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "mine").symlink_to(tiny_folder)
    monkeypatch.chdir(tmp_path)
    assert find_base("mine", registry).name == str(tiny_folder.resolve())


def test_what_an_adapter_of_the_hub_says_does_not_choose_a_folder_of_this_machine(
    tmp_path: Path, tiny_folder: Path, registry, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "base").symlink_to(tiny_folder)
    for number, base in enumerate((str(tiny_folder), "../base")):
        fetched = adapter(tmp_path / str(number), base)
        monkeypatch.setattr(resolve, "_from_hub", lambda name, fetched=fetched: fetched)
        with pytest.raises(ModelRefused, match="no model known here and no hub name"):
            find_base("somebody/adapter", registry)


@pytest.mark.parametrize(("card", "said"), [("{", "cannot be read: "), ("[]", "is no object")])
def test_a_card_that_is_none_is_refused_before_anything_is_trained(
    tmp_path: Path, tiny_folder: Path, registry, card: str, said: str
):
    base = tmp_path / "base"
    shutil.copytree(tiny_folder, base)
    (base / "xmguard.json").write_text(card, encoding="utf-8")
    with pytest.raises(ModelRefused, match=rf"its xmguard\.json {said}"):
        find_base(str(base), registry)


def test_an_adapter_of_other_weights_or_on_another_adapter_is_refused(tmp_path: Path, tiny_folder: Path, registry):
    first = adapter(tmp_path / "first", str(tiny_folder))
    with pytest.raises(ModelRefused, match="it is an adapter on another adapter"):
        find_base(str(adapter(tmp_path / "second", "../first")), registry)
    card = json.loads((first / "xmguard.json").read_text(encoding="utf-8"))
    (first / "xmguard.json").write_text(json.dumps(card | {"base_sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(ModelRefused, match="made for other weights than"):
        find_base(str(first), registry)
    (first / "xmguard.json").write_text(json.dumps(card), encoding="utf-8")
    assert find_base(str(first), registry).adapter == first.resolve()
    weights = first / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ModelRefused, match=r"its adapter has weights that hash to .*; get its folder again"):
        find_base(str(first), registry)
