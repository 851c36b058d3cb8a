"""A plugin's own architecture is loaded, read and steered like any other; its exactness is shown by its self-test."""

import json

import pytest

from tests.integration.own_architecture import MODEL_TYPE, Plugin, make_sights
from tests.integration.parity import BIASES, assert_parity
from tests.integration.pictures import PictureEager, context, registry_with_sketches, sketch
from xmguard.backends.transformers.families import refusals
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.errors import ModelRefused, PluginError
from xmguard.request import Prompt

SEEN = context(sketch(1), "The sign says OPEN until nine.", sketch(2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_sights(tmp_path_factory.mktemp("sights"))


@pytest.fixture(scope="module")
def backend(folder):
    return load(folder, registry=registry_with_sketches(sights=Plugin()))


@pytest.mark.parametrize("kind", ["lift the second", "remove the first", "lift the first, every later row"])
def test_a_plugins_architecture_is_read_and_steered_exactly(folder, backend, kind):
    prompt = backend.encode(SEEN, Prompt.STANDARD)
    assert [len(span) for span in prompt.span_map] == [49, 30, 49]
    assert_parity(backend, PictureEager(folder, backend, SEEN, prompt), BIASES[kind], prompt, 8)


def test_it_says_that_it_reads_pictures(backend):
    assert backend.modalities == ("text", "image")
    assert backend.architecture == "SightsForConditionalGeneration"


def test_without_the_plugin_the_folder_is_refused(folder):
    found = load_reasons(folder, registry_with_sketches())
    assert any(f"knows no model type {MODEL_TYPE}" in reason or "is not proven" in reason for reason in found)


def load_reasons(folder, registry):
    with pytest.raises(ModelRefused) as refused:
        load(folder, registry=registry)
    return refused.value.reasons


def test_a_language_model_whose_type_begins_like_the_plugins_is_not_proven_by_that(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["model_type"] = f"{MODEL_TYPE}_text"
    (tmp_path / "config.json").write_text(json.dumps(config))
    architectures = registry_with_sketches(sights=Plugin()).architectures.items
    assert f"its language model is of type {MODEL_TYPE}_text, which is not proven to be steered exactly" in refusals(
        tmp_path, architectures
    )


def test_a_plugin_whose_function_fails_is_named(folder):
    with pytest.raises(PluginError, match=f"architecture '{MODEL_TYPE}': json:no_such_function failed"):
        load(folder, registry=registry_with_sketches(sights=Plugin("json:no_such_function")))


def test_a_class_that_the_plugin_did_not_register_is_refused(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["LlamaForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    architectures = registry_with_sketches(sights=Plugin()).architectures.items
    assert any("knows no model class LlamaForCausalLM" in reason for reason in refusals(tmp_path, architectures))


def test_one_whose_self_test_fails_is_refused_at_load(folder, monkeypatch):
    monkeypatch.setattr(TransformersSession, "_steering", lambda self, branches, generated: None)
    reasons = load_reasons(folder, registry_with_sketches(sights=Plugin()))
    assert any("self-test fails: eps = +2 is Eq. 2" in reason for reason in reasons)
