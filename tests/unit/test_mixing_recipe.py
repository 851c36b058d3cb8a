"""Recipes: what they may say, and what is told of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.mixing.command_train import _TINY
from xmguard_research.mixing.generators import GENERATORS
from xmguard_research.mixing.recipe import Recipe

SMALLEST = """
name: small
base: smollm2
license: Apache-2.0
data:
  trained_tokens: 1000
  sources:
    - {name: one, modality: en, path: data/en.jsonl}
    - {name: two, modality: es, generator: reading, options: {language: es}}
"""


def written(folder: Path, text: str = SMALLEST) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(folder: Path, text: str, *changes: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        Recipe.read(written(folder, text), changes)
    return str(caught.value)


def test_a_recipe_says_little_and_the_defaults_say_the_rest(tmp_path: Path):
    recipe = Recipe.read(written(tmp_path))
    assert (recipe.data.strategy, recipe.data.items, recipe.data.turns, recipe.data.shuffle) == (
        *("instance", 2, "multi"),
        True,
    )
    assert (recipe.train.method, recipe.train.acts_on, recipe.train.rank) == ("lora", "all", 16)
    assert recipe.instances_per_step == 8
    assert recipe.folder == tmp_path


def test_a_change_replaces_a_field_and_is_part_of_the_digest(tmp_path: Path):
    file = written(tmp_path)
    plain = Recipe.read(file)
    changed = Recipe.read(
        file, ["data.strategy=dataset", "data.seed=3", "train.learning_rate=1e-4", "data.sources.1.options.language=is"]
    )
    assert (changed.data.strategy, changed.data.seed, changed.train.learning_rate) == ("dataset", 3, 1e-4)
    assert changed.data.sources[1].options == {"language": "is"}
    assert changed.digest != plain.digest
    assert Recipe.read(file).digest == plain.digest


def test_the_digest_of_the_data_passes_over_how_is_trained(tmp_path: Path):
    file = written(tmp_path)
    plain, trained = Recipe.read(file), Recipe.read(file, ["train.rank=4"])
    assert trained.digest != plain.digest
    assert trained.data_digest == plain.data_digest
    assert Recipe.read(file, ["base=other"]).data_digest != plain.data_digest


def test_a_default_that_is_written_out_changes_no_digest(tmp_path: Path):
    file = written(tmp_path)
    assert Recipe.read(file, ["data.items=2", "train.rank=16"]).digest == Recipe.read(file).digest


def test_a_recipe_in_a_card_is_the_recipe(tmp_path: Path):
    recipe = Recipe.read(written(tmp_path))
    again = Recipe.parse(recipe.model_dump(mode="json"), tmp_path)
    assert again == recipe
    assert again.digest == recipe.digest


@pytest.mark.parametrize("change", ["data.strategy", "=dataset", "data.sources.9.name=x", "name.first=x", "data..x=1"])
def test_a_change_that_leads_nowhere_is_refused(tmp_path: Path, change: str):
    assert "--set" in refused(tmp_path, SMALLEST, change)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("trained_tokens: 1000", "trained_token: 1000", "data.trained_token: is no field of a recipe; did you mean"),
        ("  trained_tokens: 1000\n", "", "data.trained_tokens: is missing"),
        ("trained_tokens: 1000", "trained_tokens: 0", "data.trained_tokens: is 0"),
        ("modality: en", "modality: no", "data.sources[0].modality: is False, and has to be text; put it in quotes"),
        ("name: two", "name: one", "'one' is there twice"),
        ("modality: es", "modality: en", "needs 2 modalities"),
        ("path: data/en.jsonl", "path: a.jsonl, dataset: b", "has path and dataset"),
        (", path: data/en.jsonl", "", "source 'one' has none of them"),
        ("path: data/en.jsonl", "path: a.jsonl, revision: main", "takes no revision"),
        ("path: data/en.jsonl", "path: a.jsonl, prompt: q", "name both columns"),
        ("path: data/en.jsonl", "path: a.jsonl, prompt: q, answer: a, messages: m", "name one or the other"),
        ("path: data/en.jsonl", "dataset: a/b", "names no columns"),
        ("path: data/en.jsonl", "path: a.jsonl, images: i, id: n", "names images and id alone; name messages"),
        ("path: data/en.jsonl", "dataset: a/b, messages: m, streaming: true", "has no limit"),
        ("license: Apache-2.0", "license: Apache-2.0\nname: again", "recipe.yaml:5: is no YAML: 'name' is there twice"),
        ("license: Apache-2.0", "license: [", "is no YAML"),
        (
            "license: Apache-2.0",
            "license: Apache-2.0\n{{ name }}: x",
            "recipe.yaml:5: is no YAML: a key is a list or a",
        ),
        (
            "trained_tokens: 1000",
            "trained_tokens: 2031-02-30",
            "recipe.yaml: is no YAML: day",
        ),
        ("data:", "train: {method: full, acts_on: answer}\ndata:", "method full changes the weights for every row"),
        ("data:", "train: {items_per_step: 5}\ndata:", "is no multiple of data.items"),
        ("data:", "train: {items_per_step: 24}\ndata:", "give one that divides 12"),
        ("trained_tokens: 1000", "trained_tokens: 1000\n  items: 1", "joins items, and items is 1"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(tmp_path: Path, old: str, new: str, said: str):
    assert old in SMALLEST
    assert said in refused(tmp_path, SMALLEST.replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "- name: small\n", "small\n"])
def test_a_file_without_fields_is_no_recipe(tmp_path: Path, text: str):
    assert "recipe.yaml: is no recipe: its fields (name, base, ...) are missing" in refused(tmp_path, text)


def test_everything_wrong_is_told_at_once(tmp_path: Path):
    said = refused(tmp_path, SMALLEST, "data.seed=x", "train.rank=0")
    assert "data.seed" in said
    assert "train.rank" in said


def test_more_combinations_than_can_be_balanced_are_refused(tmp_path: Path):
    sources = "".join(f"    - {{name: s{index}, modality: m{index}, path: x}}\n" for index in range(30))
    said = refused(tmp_path, SMALLEST.split("    - ")[0] + sources, "data.items=8")
    assert "combine in more than" in said


def test_a_recipe_that_is_not_there_is_an_error_of_ours(tmp_path: Path):
    with pytest.raises(XmguardError, match=r"none\.yaml cannot be read"):
        Recipe.read(tmp_path / "none.yaml")


def test_a_base_beside_the_recipe_is_found_from_anywhere(tmp_path: Path):
    (tmp_path / "runs" / "model").mkdir(parents=True)
    file = written(tmp_path)
    assert Recipe.read(file, ["base=runs/model"]).base_model == str(tmp_path / "runs" / "model")
    assert Recipe.read(file).base_model == "smollm2"


@pytest.mark.parametrize("file", sorted(_TINY.parent.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_that_is_shipped_asks_generators_for_what_they_have(file: Path):
    recipe = Recipe.read(file)
    assert recipe.name == file.stem
    for source in recipe.data.sources:
        GENERATORS[source.generator](source.options)
