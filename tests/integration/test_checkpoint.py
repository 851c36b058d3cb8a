"""Folders with an adapter in place of a whole model: served merged or for the answer alone, refused with reasons."""

import json
import shutil
from dataclasses import replace

import huggingface_hub
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.integration.adapters import AdaptedEager, save_adapter, write_card
from tests.integration.parity import BIASES, THREE, assert_parity
from xmguard import AnswerRequest, Decoding, OnError, Span, load_guard
from xmguard.attention.head_norms import norm_factors
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import AttentionBias
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.errors import ModelNotFound, ModelRefused
from xmguard.models import resolve as resolving
from xmguard.models.resolve import default_model, resolve
from xmguard.plugins import load_plugins
from xmguard.request import Prompt
from xmguard.testing.tiny_pictures import make_picture_model

# PEFT asks transformers for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

STEPS = 6
REQUEST = AnswerRequest(
    spans=(Span("a", "The door is red.", language="en"), Span("b", "It is blue.", language="en")),
    question="Which colour?",
    decoding=Decoding(max_tokens=STEPS),
    on_error=OnError.OPEN,
)


@pytest.fixture(scope="module")
def plain_adapter(tiny_folder, tmp_path_factory):
    return save_adapter(tiny_folder, tmp_path_factory.mktemp("adapter"))


@pytest.fixture
def adapter(plain_adapter, tmp_path):
    return shutil.copytree(plain_adapter, tmp_path / "checkpoint")


@pytest.fixture
def profiled(tiny_folder, tiny_backend, tmp_path):
    """The base with a verdict that was fitted to it."""
    weight = {"weight": 2, "center": 0.5, "scale": 4.0, "absent": -1}
    feature = load_plugins().evidence_features.names()[0]
    verdict = {
        "version": 1,
        "fitted_for": {"model_hash": tiny_backend.model_hash, "engine": "transformers", "dtype": "float32"},
        "fitted_on": "some pairs",
        "conflict": {"same_language": {"intercept": -1, "weights": [weight | {"feature": feature}]}},
        "comparable": {},
        "bounds": {"conflict_above": 0.7, "agreement_below": 0.3, "comparable_above": 0},
    }
    card = {"profile": {"name": "base", "rebalance": {"policy": "none"}, "verdict": verdict}}
    folder = shutil.copytree(tiny_folder, tmp_path / "base")
    (folder / "xmguard.json").write_text(json.dumps(card))
    return folder


def test_an_adapter_of_all_rows_is_merged(adapter, tiny_folder, tiny_backend, registry):
    write_card(adapter, tiny_folder, tiny_backend.model_hash, "all")
    backend = load_guard(str(adapter), registry=registry).backend
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_folder), adapter).merge_and_unload()
    wanted = merged.state_dict()
    for name, weight in backend.loaded.model.state_dict().items():
        torch.testing.assert_close(weight, wanted[name], rtol=0, atol=1e-6)
    for factors, layer in zip(backend.loaded.factors, merged.model.layers, strict=True):
        torch.testing.assert_close(factors, norm_factors(layer.self_attn.o_proj.weight, 6), rtol=1e-4, atol=1e-5)
    assert backend.loaded.adapter is None
    assert backend.model_hash == backend.evidence_hash != tiny_backend.model_hash


def test_an_adapter_of_the_answer_leaves_the_weights_and_is_applied_by_the_guard(
    adapter, tiny_folder, tiny_backend, registry
):
    write_card(adapter, tiny_folder, tiny_backend.model_hash, "answer")
    guard = load_guard(str(adapter), registry=registry)
    assert guard.model == "trained"
    assert guard.backend.evidence_hash == tiny_backend.model_hash != guard.stamp.model_hash
    for name, weight in guard.backend.loaded.model.state_dict().items():
        assert torch.equal(weight, tiny_backend.loaded.model.state_dict()[name])
    assert_parity(guard.backend, AdaptedEager(tiny_folder, adapter), BIASES["lift the second"], steps=STEPS)
    base = load_guard(str(tiny_folder), registry=registry)
    found, wanted = guard.answer(REQUEST), base.answer(REQUEST)
    assert replace(found.verdict, model_reported=None) == replace(wanted.verdict, model_reported=None)
    assert found.raw_answer != wanted.raw_answer


@pytest.mark.parametrize("acts_on", ["all", "answer"])
def test_in_half_precision_the_adapter_is_rounded_with_the_weights(
    adapter, tiny_folder, tiny_backend, registry, acts_on
):
    write_card(adapter, tiny_folder, tiny_backend.model_hash, acts_on)
    half, whole = (load_guard(str(adapter), dtype=dtype, registry=registry) for dtype in ("bfloat16", "float32"))
    firsts = []
    for guard in (half, whole, load_guard(str(tiny_folder), registry=registry)):
        prompt = guard.backend.encode(THREE, Prompt.STANDARD)
        session = TransformersSession(guard.backend.loaded, prompt, Stop())
        joint = Branch("joint", prompt.joint_tail, AttentionBias(), answers=True)
        firsts.append(torch.tensor(session.score([(joint, (token,)) for token in range(40, 60)])))
    assert (firsts[0] - firsts[1]).abs().mean() < 0.3 < (firsts[2] - firsts[1]).abs().mean()


def test_the_bases_verdict_holds_for_an_answer_adapter_and_not_for_a_merged_one(
    adapter, profiled, tiny_backend, registry
):
    write_card(adapter, profiled, tiny_backend.model_hash, "answer")
    assert load_guard(str(adapter), registry=registry).describe().calibration == (
        "calibrated on some pairs; read from the base model, whose joint answers an adapter gives"
    )
    write_card(adapter, profiled, tiny_backend.model_hash, "all")
    merged = load_guard(str(adapter), registry=registry)
    assert merged.describe().calibration == (
        f"not calibrated: the profile's verdict was fitted for model_hash {tiny_backend.model_hash[:16]}, "
        f"loaded is {merged.backend.model_hash[:16]}"
    )
    own = {"name": "own", "rebalance": {"policy": "none"}}
    write_card(adapter, profiled, tiny_backend.model_hash, "answer", profile=own)
    assert load_guard(str(adapter), registry=registry).stamp.profile == "own"


def test_an_adapter_on_an_adapted_model_is_put_onto_both(adapter, tiny_folder, tiny_backend, registry, tmp_path):
    write_card(adapter, tiny_folder, tiny_backend.model_hash, "all")
    first = load_guard(str(adapter), registry=registry).backend
    second = shutil.copytree(adapter, tmp_path / "second")
    write_card(second, "../checkpoint", first.model_hash, "answer")
    found = load_guard(str(second), registry=registry).backend
    assert found.evidence_hash == first.model_hash != found.model_hash
    assert found.loaded.adapter is not None
    weight = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(found.loaded.model.state_dict()[weight], first.loaded.model.state_dict()[weight])
    third = shutil.copytree(adapter, tmp_path / "third")
    write_card(third, second, found.model_hash, "all")
    with pytest.raises(ModelRefused, match=r"base has an adapter of the joint answer.*; train that adapter further"):
        load_guard(str(third), registry=registry)


def test_a_plugins_model_may_be_an_adapters_folder(adapter, tiny_folder, tiny_backend):
    write_card(adapter, tiny_folder, tiny_backend.model_hash, "answer")
    plugins = load_plugins(extra={"mixed": providing(Present("mixed", adapter))})
    found = resolve("mixed", plugins)
    assert (found.name, found.path, found.profile) == ("mixed", tiny_folder, tiny_folder)
    (source,) = found.adapters
    assert source.folder == adapter
    with pytest.raises(ModelRefused, match="mixed is refused: it is an adapter on a base"):
        _ = found.whole


def providing(*sources):
    from types import SimpleNamespace

    from xmguard.hookspecs import hookimpl

    @hookimpl
    def xmguard_models():
        return list(sources)

    return SimpleNamespace(xmguard_models=xmguard_models)


# -- refusals --------------------------------------------------------------------------------------------------------


def refused(adapter, registry):
    with pytest.raises(ModelRefused) as caught:
        load_guard(str(adapter), registry=registry)
    assert str(caught.value).startswith(f"{adapter} is refused: ")
    return "; ".join(caught.value.reasons)


def test_a_base_that_is_not_here_names_the_command(adapter, registry, monkeypatch, tmp_path):
    monkeypatch.setenv("XMGUARD_CACHE", str(tmp_path / "cache"))
    write_card(adapter, "smollm2", "ab", "answer")
    with pytest.raises(ModelNotFound, match=r"is an adapter on smollm2: .* run: xmguard models pull smollm2$"):
        load_guard(str(adapter), registry=registry)
    write_card(adapter, "gone", "ab", "answer")
    with pytest.raises(ModelNotFound, match="is an adapter on gone: no model 'gone'"):
        load_guard(str(adapter), registry=registry)


def test_an_adapter_of_another_base_and_with_other_weights_is_refused_with_every_reason(
    adapter, tiny_folder, tiny_backend, registry
):
    write_card(adapter, tiny_folder, "ab" * 32, "answer")
    found = load_file(adapter / "adapter_model.safetensors")
    save_file({name: tensor + 1 for name, tensor in found.items()}, adapter / "adapter_model.safetensors")
    reasons = refused(adapter, registry)
    assert (
        f"it was trained on a base that hashes to {'ab' * 32}, this one to {tiny_backend.model_hash}; put that base"
        in reasons
    )
    assert "its adapter has weights that hash to " in reasons
    assert "; its card names " in reasons
    assert reasons.endswith("; get its folder again, as a whole")


def test_what_a_card_lacks_is_named_all_at_once(adapter, tiny_folder, registry):
    write_card(adapter, tiny_folder, 5, "question", base_model="")
    assert refused(adapter, registry) == (
        "xmguard.json: base_model is not a text; a card of an adapter has to say it; "
        "xmguard.json: base_sha256 is not a text; a card of an adapter has to say it; "
        "xmguard.json: adapter.acts_on is 'question'; one of all, answer"
    )
    (adapter / "xmguard.json").write_text("[]")
    assert refused(adapter, registry).count("is not a text") == 5
    (adapter / "xmguard.json").unlink()
    said = refused(adapter, registry)
    assert "names the base model, cannot be read: " in said
    assert said.endswith(
        "; give a checkpoint of xmguard mix train, or merge the adapter with PEFT and give the merged folder"
    )


@pytest.mark.parametrize("acts_on", ["all", "answer"])
def test_what_is_no_plain_adapter_or_does_not_fit_is_refused(adapter, tiny_folder, tiny_backend, registry, acts_on):
    tensors = load_file(adapter / "adapter_model.safetensors")
    up = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    far = up.replace("layers.0", "layers.9")
    tensors |= {far: tensors[up].clone(), far.replace("lora_A", "lora_B"): torch.ones(96, 4), up: torch.ones(4, 7)}
    save_file(tensors, adapter / "adapter_model.safetensors")
    write_card(adapter, tiny_folder, tiny_backend.model_hash, acts_on)
    assert sorted(refused(adapter, registry).split("; ")) == [
        "its adapter adapts model.layers.9.mlp.up_proj, which is no linear layer that it runs",
        "its adapter has an update of model.layers.0.mlp.up_proj that does not fit the model",
        "train it again on this model",
    ]
    save_file(tensors | {"base_model.model.lm_head.weight": torch.ones(2)}, adapter / "adapter_model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    write_card(adapter, tiny_folder, tiny_backend.model_hash, acts_on)
    assert refused(adapter, registry) == (
        "its adapter holds base_model.model.lm_head.weight, which nothing here reads; "
        "train and save it without modules_to_save and embeddings"
    )
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    assert refused(adapter, registry) == (
        "its adapter is no plain LoRA adapter: use_dora; train it again with PEFT's defaults of these"
    )
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    save_file({}, adapter / "adapter_model.safetensors")
    write_card(adapter, tiny_folder, tiny_backend.model_hash, acts_on)
    assert refused(adapter, registry) == (
        "its adapter holds no low-rank update, so it would change nothing; save it again with PEFT"
    )
    save_file(tensors | {up: torch.full((4, 48), torch.nan)}, adapter / "adapter_model.safetensors")
    write_card(adapter, tiny_folder, tiny_backend.model_hash, acts_on)
    assert refused(adapter, registry) == (
        f"its adapter holds what is no finite number in 1 tensors, such as {up}; "
        "train it again with a lower learning rate"
    )


def test_a_layer_that_text_does_not_run_through_cannot_answer(tmp_path, registry):
    model = make_picture_model(tmp_path / "model")
    backend = load(model, registry=registry)
    name, linear = next(
        (name, module)
        for name, module in backend.loaded.model.named_modules()
        if "vision" in name and isinstance(module, torch.nn.Linear)
    )
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    down, up = torch.ones(2, linear.in_features), torch.ones(linear.out_features, 2)
    key = f"base_model.model.{name}.lora_"
    save_file({f"{key}A.weight": down, f"{key}B.weight": up}, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    write_card(adapter, model, backend.model_hash, "answer")
    said = refused(adapter, registry)
    assert said.startswith(f"its adapter adapts {name}, which does not run a text's rows")
    assert said.endswith("; train it without these layers, or to act on all rows")
    write_card(adapter, model, backend.model_hash, "all")
    merged = load_guard(str(adapter), registry=registry).backend.loaded.model
    torch.testing.assert_close(merged.get_submodule(name).weight, linear.weight + 4.0)  # 4 / 2 * (1 + 1)


@pytest.mark.parametrize("below", ["", "/../secret"])
def test_an_adapter_of_the_hub_names_no_folder_of_this_machine(adapter, tiny_folder, registry, monkeypatch, below):
    write_card(adapter, f"{tiny_folder}{below}", "ab", "all")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **options: str(adapter))
    with pytest.raises(ModelRefused, match="no model known here and no hub name; download it"):
        resolve("owner/name", registry)


def test_a_base_that_leads_back_is_refused(adapter, registry, tmp_path):
    second = shutil.copytree(adapter, tmp_path / "second")
    write_card(adapter, second, "ab", "all")
    write_card(second, adapter, "ab", "all")
    assert "comes back to it; give its card another base_model" in refused(adapter, registry)


# -- the default -----------------------------------------------------------------------------------------------------


class Present:
    summary, license, requires, modalities, profile = "s", "Apache-2.0", "xmguard[hf]", ("text",), None

    def __init__(self, name, path):
        self.name, self.folder = name, path

    def path(self):
        return self.folder

    def pull(self, progress=None):
        return self.folder


def test_the_default_is_the_preferred_model_that_is_here(monkeypatch, tmp_path):
    preferred, embedded = resolving.DEFAULTS
    assert embedded == "smollm2"
    monkeypatch.setenv("XMGUARD_CACHE", str(tmp_path / "cache"))
    absent = load_plugins(extra={"mixed": providing(Present(preferred, None))})
    present = load_plugins(extra={"mixed": providing(Present(preferred, tmp_path))})
    assert default_model(load_plugins()) == embedded
    assert default_model(absent) == embedded
    assert default_model(present) == preferred


def test_a_model_that_is_not_named_is_the_default(tiny_folder, monkeypatch):
    preferred = resolving.DEFAULTS[0]
    plugins = load_plugins(extra={"mixed": providing(Present(preferred, tiny_folder))})
    guard = load_guard(registry=plugins)
    assert guard.model == preferred
