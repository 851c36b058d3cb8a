"""Data folders: what is in them, that strategies compare on the same items, and that one is whole or not there."""

from __future__ import annotations

import errno
import json
import shutil
from collections import Counter
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags
from PIL import Image as Pictures

from tests.unit.mixing_recipes import adapter, recipe, records, write
from xmguard.errors import ErrorCode, InvalidRequest, ModelRefused, XmguardError
from xmguard.plugins import load_plugins
from xmguard_research.mixing import building
from xmguard_research.mixing.bases import find_base
from xmguard_research.mixing.building import build, describe, plan
from xmguard_research.mixing.counting import TokenCounter
from xmguard_research.mixing.encoding import Encoded
from xmguard_research.mixing.instances import DRAWING
from xmguard_research.mixing.items import Message
from xmguard_research.mixing.readers import encoder_of, load_reader
from xmguard_research.mixing.recipe import Recipe

ANSWER = len("It is en 10.") + 1
"""Trained tokens of most items: the tiny model's tokens are bytes."""


@pytest.fixture
def told(tmp_path: Path, tiny_folder: Path):
    """Recipes over three sources of 30 items."""
    for name in ("en", "es", "zh"):
        write(tmp_path / f"{name}.jsonl", records(name, 30))
    sources = [{"name": name, "modality": name, "path": f"{name}.jsonl"} for name in ("en", "es", "zh")]

    def make(**data: Any) -> Recipe:
        return recipe(tmp_path, tiny_folder, data.pop("sources", sources), **data)

    return make


def rows(folder: Path, name: str = "instances.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def inside(folder: Path) -> Counter[tuple[str, str]]:
    return Counter((one["source"], one["id"]) for row in rows(folder) for one in row["items"])


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_folder_holds_instances_held_out_ones_and_what_they_were_made_of(told, tmp_path: Path):
    built = build(told(), tmp_path / "data")
    assert not built.unchanged
    assert names(tmp_path / "data") == ["instances.jsonl", "manifest.json", "validation.jsonl"]
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == built.manifest
    instances = rows(tmp_path / "data")
    assert manifest["instances"] == len(instances)
    assert manifest["recipe_sha256"] == told().digest
    assert sum(manifest["combinations"].values()) == len(instances)
    assert set(instances[0]) == {"id", "items", "messages"}
    assert [set(one) for one in instances[0]["items"]] == [{"id", "source", "modality"}] * 2
    content = (tmp_path / "data" / "instances.jsonl").read_bytes()
    assert manifest["files"]["instances.jsonl"] == sha256(content).hexdigest()


def test_the_content_of_an_item_is_in_its_instance_part_by_part(told, tmp_path: Path):
    build(told(), tmp_path / "data")
    instance = rows(tmp_path / "data")[0]
    for one, asked, reply in zip(instance["items"], instance["messages"][::2], instance["messages"][1::2], strict=True):
        assert asked["role"] == "user"
        texts = ["Read.\n\n", one["id"].replace("-", " "), "\n\nWhat?"]
        assert asked["content"] == [{"type": "text", "text": text} for text in texts]
        assert reply["content"] == [{"type": "text", "text": f"It is {texts[1]}."}]


def test_every_strategy_trains_on_the_same_items_in_the_same_amount(told, tmp_path: Path):
    settings: list[dict[str, Any]] = [
        {"strategy": "instance", "items": 2},
        {"strategy": "instance", "items": 3},
        {"strategy": "dataset", "items": 1},
        {"strategy": "dataset", "items": 2},
        {"strategy": "instance", "items": 2, "turns": "single", "shuffle": False},
    ]
    manifests = [build(told(**each), tmp_path / str(index)).manifest for index, each in enumerate(settings)]
    assert len({frozenset(inside(tmp_path / str(index)).items()) for index in range(len(settings))}) == 1
    assert len({manifest["drawn_tokens"] for manifest in manifests}) == 1
    assert {manifest["trained_tokens"] for manifest in manifests[:4]} == {manifests[0]["drawn_tokens"]}
    held = [
        Counter(one["id"] for row in rows(tmp_path / str(i), "validation.jsonl") for one in row["items"])
        for i in (0, 2)
    ]
    assert held[0] == held[1]


def test_the_tokens_of_the_manifest_are_those_of_the_instances(told, tmp_path: Path, tiny_folder: Path):
    manifest = build(told(trained_tokens=600, turns="single"), tmp_path / "data").manifest
    replies = [row["messages"][-1]["content"][0]["text"] for row in rows(tmp_path / "data")]
    assert manifest["trained_tokens"] == sum(len(reply) + 1 for reply in replies)
    assert 600 - 3 * ANSWER < manifest["drawn_tokens"] <= 600
    assert sum(source["trained_tokens"] for source in manifest["sources"]) == manifest["drawn_tokens"]


def test_what_is_read_is_what_the_template_writes_around_the_texts(tiny_folder: Path):
    from transformers import AutoTokenizer

    counter = TokenCounter(str(tiny_folder), pictures=False)
    said = [
        ("system", "Be brief."),
        ("user", "What?"),
        ("assistant", "That."),
        ("user", "And?"),
        ("assistant", "This."),
    ]
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    whole = tokenizer.apply_chat_template([{"role": role, "content": text} for role, text in said], tokenize=False)
    ends = whole.rindex("<|im_end|>") + len("<|im_end|>")
    assert counter.read([Message(role, (text,)) for role, text in said]) == len(tokenizer(whole[:ends])["input_ids"])
    # A control token in a text is text: seven bytes, and not the end of anything.
    assert counter.trained([Message("assistant", ("<think>",))]) == 8


def test_as_many_tokens_are_counted_as_training_encodes(tmp_path: Path, tiny_folder: Path, told):
    """With a template that asks for a reply with more than it repeats, and ends one with more than a token."""
    from transformers import AutoTokenizer

    base = tmp_path / "base"
    shutil.copytree(tiny_folder, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = (
        "{% for one in messages %}<|im_start|>{{ one.role }}\n{{ one.content }}"
        "{% if one.role == 'assistant' %} over{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    tokenizer.save_pretrained(base)
    recipe = told(trained_tokens=600).model_copy(update={"base": str(base)})
    manifest = build(recipe, tmp_path / "data").manifest
    encoded = as_trained(base, tmp_path / "data")
    assert manifest["trained_tokens"] == sum(one.trained for one in encoded) == manifest["drawn_tokens"]
    assert manifest["read_tokens"] == sum(len(one.ids) for one in encoded)
    assert manifest["longest_instance"] == max(len(one.ids) for one in encoded)
    reply = rows(tmp_path / "data")[0]["messages"][-1]["content"][0]["text"]
    assert len(encoded[0].targets[-1]) == len(f"{reply} over") + 1


def as_trained(base: Path, data: Path) -> list[Encoded]:
    """The instances of a data folder as training encodes them."""
    registry = load_plugins()
    found = find_base(str(base), registry)
    encoder = encoder_of(found, load_reader(found, registry), registry, data)
    return [encoder.encode(row) for row in rows(data)]


def test_held_out_items_are_in_no_instance(told, tmp_path: Path):
    manifest = build(told(), tmp_path / "data").manifest
    held = {(one["source"], one["id"]) for row in rows(tmp_path / "data", "validation.jsonl") for one in row["items"]}
    assert len(held) == 3
    assert not held & set(inside(tmp_path / "data"))
    assert [source["held_out"] for source in manifest["sources"]] == [1, 1, 1]


def test_passes_over_a_source_that_is_too_small_are_said(told, tmp_path: Path):
    manifest = build(told(trained_tokens=3 * 58 * ANSWER), tmp_path / "data").manifest
    assert [source["passes"] for source in manifest["sources"]] == [pytest.approx(2, abs=0.1)] * 3
    assert all(source["drawn"] > 2 * (source["items"] - 2) for source in manifest["sources"])


def test_the_same_recipe_makes_nothing_again_and_another_is_refused(told, tmp_path: Path):
    out = tmp_path / "data"
    first = build(told(), out)
    before = (out / "manifest.json").stat().st_mtime_ns
    again = build(told(), out)
    assert again.unchanged
    assert again.manifest == first.manifest
    assert (out / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(InvalidRequest, match="its recipe was another; --force replaces it"):
        build(told(seed=1), out)
    assert build(told(), out).unchanged
    replaced = build(told(seed=1), out, force=True)
    assert not replaced.unchanged
    assert replaced.manifest["seed"] == 1
    assert names(out.parent) == ["data", "en.jsonl", "es.jsonl", "zh.jsonl"]


def test_how_is_trained_does_not_make_other_data(told, tmp_path: Path):
    build(told(), tmp_path / "data")
    other = told().model_dump(mode="json") | {"train": {"rank": 4}, "name": "another"}
    assert build(Recipe.parse(other, tmp_path), tmp_path / "data").unchanged


def test_sources_and_files_that_have_changed_are_noticed(told, tmp_path: Path):
    out = tmp_path / "data"
    build(told(), out)
    write(tmp_path / "es.jsonl", records("es", 31))
    with pytest.raises(InvalidRequest, match="source es held other items"):
        build(told(), out)
    write(tmp_path / "es.jsonl", records("es", 30))
    assert build(told(), out).unchanged
    with (out / "instances.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(InvalidRequest, match=r"instances\.jsonl was altered since"):
        build(told(), out)


def test_the_folder_where_the_command_runs_is_not_replaced(told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for out in (Path(), here, Path("..")):
        with pytest.raises(InvalidRequest, match="is where the command runs; name a folder in it"):
            build(told(), out)
    assert not build(told(), Path("data")).unchanged
    assert names(here) == ["data"]
    monkeypatch.chdir(here / "data")
    assert build(told(), Path()).unchanged
    with pytest.raises(InvalidRequest, match="is where the command runs; name a folder in it"):
        build(told(), Path(), force=True)


def test_data_of_another_tokenizer_is_refused(told, tmp_path: Path):
    out = tmp_path / "data"
    manifest = build(told(), out).manifest
    (out / "manifest.json").write_text(json.dumps(manifest | {"tokenizer_sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="the base's tokenizer was another"):
        build(told(), out)
    with pytest.raises(InvalidRequest, match="the base's tokenizer was another"):
        build(told(), out, begun=True)


def test_a_folder_that_is_not_of_ours_is_left_alone_by_force_too(told, tmp_path: Path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "manifest.json").write_text('{"chapters": 9}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="holds no data of ours"):
        build(told(), out, force=True)
    assert names(out) == ["manifest.json"]


@pytest.mark.parametrize("force", [False, True])
def test_what_another_process_has_made_meanwhile_is_not_replaced(told, tmp_path: Path, force: bool):
    out = tmp_path / "data"
    if force:
        build(told(seed=2), out)

    def meanwhile(step: str, done: int, of: int) -> None:
        if (step, done) == ("writing instances", 1):
            build(told(seed=1), out, force=force)

    with pytest.raises(InvalidRequest, match="was made by another process meanwhile"):
        build(told(), out, force=force, tell=meanwhile)
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["seed"] == 1
    thesis = tmp_path / "thesis"
    with pytest.raises(InvalidRequest, match="was made by another process meanwhile"):
        build(told(), thesis, tell=lambda *step: (thesis / "1").mkdir(parents=True, exist_ok=True))
    assert names(out.parent) == ["data", "en.jsonl", "es.jsonl", "thesis", "zh.jsonl"]
    assert names(thesis) == ["1"]


def test_a_full_disk_is_said_and_leaves_what_was_there(told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "data"
    build(told(), out)
    before = (out / "instances.jsonl").read_bytes()

    def full(lines: Any, path: Path) -> Any:
        path.write_bytes(next(iter(lines)))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(building.lines, "write", full)
    with pytest.raises(XmguardError, match="the disk is full; free some space") as caught:
        build(told(seed=1), out, force=True)
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert (out / "instances.jsonl").read_bytes() == before
    with pytest.raises(XmguardError, match="the disk is full"):
        build(told(), tmp_path / "new")
    assert names(tmp_path) == ["data", "en.jsonl", "es.jsonl", "zh.jsonl"]


def test_a_place_that_cannot_be_written_is_said(told, tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(XmguardError, match=r"cannot be written: (Not a directory|File exists)"):
        build(told(), tmp_path / "file" / "data")


def test_a_plan_says_what_a_folder_would_and_writes_nothing(told, tmp_path: Path):
    planned = describe(plan(told()))
    written = build(told(), tmp_path / "data").manifest
    assert planned == {key: value for key, value in written.items() if key not in ("files", "git")}


def test_every_step_is_told_to_its_end(told, tmp_path: Path):
    steps: dict[str, tuple[int, int]] = {}
    build(told(), tmp_path / "data", tell=lambda step, done, of: steps.update({step: (done, of)}))
    assert list(steps) == [
        *("reading en", "reading es", "reading zh", "reading the base's tokenizer", "drawing", "counting tokens"),
        *("writing instances", "writing held-out instances"),
    ]
    assert all(done == of for step, (done, of) in steps.items() if step.startswith(("counting", "writing")))


@pytest.mark.usefixtures("_pictures_are_read")
def test_pictures_are_copied_once_each_and_found_from_the_instances(tmp_path: Path, tiny_pictures: Path):
    for index in range(2):
        Pictures.new("RGB", (40 + 8 * index, 40), "red").save(tmp_path / f"{index}.png")
    art = [
        {
            "id": f"art-{index}",
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "path": f"{index % 2}.png"}, {"type": "text", "text": "?"}],
                },
                {"role": "assistant", "content": "It is red."},
            ],
        }
        for index in range(12)
    ]
    write(tmp_path / "art.jsonl", art)
    write(tmp_path / "en.jsonl", records("en", 12))
    sources = [{"name": name, "modality": name, "path": f"{name}.jsonl"} for name in ("art", "en")]
    manifest = build(recipe(tmp_path, tiny_pictures, sources, trained_tokens=240), tmp_path / "data").manifest
    images = names(tmp_path / "data" / "images")
    assert len(images) == 2
    assert set(manifest["files"]) == {"instances.jsonl", "validation.jsonl", *(f"images/{name}" for name in images)}
    paths = {
        part["path"]
        for row in rows(tmp_path / "data")
        for message in row["messages"]
        for part in message["content"]
        if part["type"] == "image"
    }
    assert {(tmp_path / "data" / path).read_bytes() for path in paths} == {
        (tmp_path / f"{index}.png").read_bytes() for index in range(2)
    }
    # A picture is read as more tokens than the few of its text.
    plain = build(recipe(tmp_path, tiny_pictures, sources[1:], strategy="dataset", trained_tokens=120), tmp_path / "p")
    assert manifest["read_tokens"] > 2 * plain.manifest["read_tokens"]


@pytest.mark.usefixtures("_pictures_are_read")
def test_pictures_that_are_turned_or_shrunk_count_as_they_are_trained_on(tmp_path: Path, tiny_pictures: Path):
    turned = Pictures.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Pictures.new("RGB", (160, 40), "red").save(tmp_path / "turned.jpg", exif=turned)
    Pictures.new("RGB", (2401, 1601), "red").save(tmp_path / "large.png")
    art = []
    for name in ("turned.jpg", "large.png", "turned.jpg"):
        asked = {"role": "user", "content": [{"type": "image", "path": name}]}
        art.append({"id": f"{len(art)}", "messages": [asked, {"role": "assistant", "content": "Red."}]})
    write(tmp_path / "art.jsonl", art)
    source = {"name": "art", "modality": "art", "path": "art.jsonl"}
    manifest = build(
        recipe(tmp_path, tiny_pictures, [source], strategy="dataset", items=1, trained_tokens=10), tmp_path / "data"
    ).manifest
    assert manifest["instances"] == 2
    assert manifest["read_tokens"] == sum(len(one.ids) for one in as_trained(tiny_pictures, tmp_path / "data"))


@pytest.fixture
def _pictures_are_read(monkeypatch: pytest.MonkeyPatch):
    if "image" not in {entry.name for entry in entry_points(group="xmguard")}:
        pytest.skip("xmguard-image is not installed")
    monkeypatch.setenv("XMGUARD_PLUGINS", "image")


@pytest.fixture(scope="module")
def tiny_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from xmguard.testing.tiny_pictures import make_picture_model

    return make_picture_model(tmp_path_factory.mktemp("pictures"), "SmolVLM")


def test_a_base_that_reads_no_pictures_is_refused_where_there_are_some(tmp_path: Path, tiny_folder: Path):
    Pictures.new("RGB", (8, 8)).save(tmp_path / "a.png")
    asked = {"role": "user", "content": [{"type": "image", "path": "a.png"}]}
    row = {"id": "x", "messages": [asked, {"role": "assistant", "content": "Red."}]}
    write(tmp_path / "art.jsonl", [row])
    told = recipe(tmp_path, tiny_folder, [{"name": "art", "modality": "art", "path": "art.jsonl"}], strategy="dataset")
    with pytest.raises(ModelRefused, match="reads no pictures"):
        plan(told)


def test_data_that_another_version_drew_is_refused_but_by_a_run_that_has_begun(told, tmp_path: Path):
    out = tmp_path / "data"
    manifest = build(told(), out).manifest
    before = {name: value for name, value in manifest.items() if name != "drawing"}
    (out / "manifest.json").write_text(json.dumps(before), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="another version of xmguard drew it"):
        build(told(), out)
    assert build(told(), out, begun=True).unchanged
    assert build(told(), out, force=True).manifest["drawing"] == DRAWING


def test_a_checkpoint_with_an_adapter_counts_as_its_base_does(told, tmp_path: Path, tiny_folder: Path):
    checkpoint = adapter(tmp_path / "run" / "model", str(tiny_folder))
    counter = TokenCounter(str(checkpoint), pictures=False)
    assert counter.sha256 == TokenCounter(str(tiny_folder), pictures=False).sha256
    (checkpoint / "xmguard.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"xmguard\.json: base_model is not a text"):
        TokenCounter(str(checkpoint), pictures=False)


def test_a_base_without_a_template_is_refused(told, tmp_path: Path, tiny_folder: Path):
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_folder.iterdir():
        if file.suffix == ".json":
            (base / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelRefused, match="has no chat template"):
        TokenCounter(str(base), pictures=False)


def test_the_commit_is_that_of_the_checkout():
    found = building.commit()
    assert found is None or len(found.removesuffix("-dirty")) == 40
