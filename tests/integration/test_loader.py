import json
import shutil

import pytest
import transformers

from tests.integration.families import FAMILIES
from xmguard.backends.transformers.loader import load
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.testing import make_model


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def edit(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content))


def spoil_architecture(folder):
    edit(folder / "config.json", architectures=["GPT2LMHeadModel"])


def spoil_model_type(folder):
    edit(folder / "config.json", model_type="qwen2")


def spoil_code(folder):
    (folder / "modeling_tiny.py").write_text("raise SystemExit")
    edit(folder / "config.json", auto_map={"AutoModel": "modeling_tiny.Tiny"})


def spoil_pickle(folder):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def spoil_code_below(folder):
    (folder / "extra" / "more").mkdir(parents=True)
    (folder / "extra" / "more" / "Patch.PY").write_text("raise SystemExit")


def spoil_other_settings(folder):
    (folder / "processor_config.json").write_text('{"auto_map": {"AutoProcessor": "mine.Processor"}}')


def spoil_arrays(folder):
    import numpy as np

    np.savez(folder / "extra.npz", payload=np.array([{"any": "object"}], dtype=object))


def spoil_link(folder):
    (folder.parent / "elsewhere.json").write_text("{}")
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "generation_config.json").symlink_to("../elsewhere.json")


def spoil_weights(folder):
    (folder / "model.safetensors").unlink()


def spoil_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def spoil_quantisation(folder):
    edit(folder / "config.json", quantization_config={"quant_method": "gptq"})


def spoil_tokenizer_content(folder):
    (folder / "tokenizer.json").write_text("{}")


def spoil_config(folder):
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "reasons"),
    [
        (spoil_architecture, ["architecture GPT2LMHeadModel", "LlamaForCausalLM"]),
        (spoil_model_type, ["LlamaForCausalLM of model type qwen2 is not proven", "only of model type llama"]),
        (spoil_code, ["auto_map", "modeling_tiny.py"]),
        (spoil_pickle, ["pytorch_model.bin"]),
        (spoil_code_below, ["it holds code (extra/more/Patch.PY)"]),
        (spoil_other_settings, ["its own code (auto_map), in processor_config.json"]),
        (spoil_arrays, ["extra.npz"]),
        (spoil_link, ["links that lead out of it (generation_config.json)"]),
        (spoil_weights, ["no *.safetensors"]),
        (spoil_tokenizer, ["no tokenizer.json"]),
        (spoil_tokenizer_content, ["its tokenizer cannot be read: KeyError"]),
        (spoil_quantisation, ["quantised"]),
        (spoil_config, ["config.json cannot be read"]),
    ],
)
def test_a_folder_is_refused_with_the_reason(folder, registry, spoil, reasons):
    spoil(folder)
    with pytest.raises(ModelRefused) as caught:
        load(folder, registry=registry)
    for reason in reasons:
        assert reason in str(caught.value)


def test_all_reasons_are_given_at_once(folder, registry):
    for spoil in (spoil_architecture, spoil_pickle, spoil_tokenizer):
        spoil(folder)
    with pytest.raises(ModelRefused) as caught:
        load(folder, registry=registry)
    assert [reason.split(" ", 2)[:2] for reason in caught.value.reasons] == [
        ["architecture", "GPT2LMHeadModel"],
        ["transformers", transformers.__version__],  # builds no such architecture of that model type
        ["it", "holds"],
        ["it", "holds"],
    ]


def test_a_half_copied_weight_file_is_refused(folder, registry):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelRefused, match="its weights cannot be read") as caught:
        load(folder, registry=registry)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_weights_that_do_not_fit_are_refused_and_not_invented(folder, registry, change):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    if change == "missing":
        weights.pop("model.layers.1.self_attn.v_proj.weight")
    else:
        weights["model.layers.1.self_attn.w_proj.weight"] = weights["model.norm.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelRefused, match=rf"{change} keys model.layers.1.self_attn.[vw]_proj.weight"):
        load(folder, registry=registry)


def test_an_unknown_dtype_or_device_is_refused(tiny_folder, registry):
    with pytest.raises(InvalidRequest, match="float32, bfloat16"):
        load(tiny_folder, registry=registry, dtype="int4")
    with pytest.raises(InvalidRequest, match="'warp' cannot be used"):
        load(tiny_folder, registry=registry, device="warp")


def test_long_rotary_factors_end_the_context_where_the_short_ones_do(registry, tmp_path):
    """Past that length a pass without a cache turns every position otherwise, the ones that are cached included."""
    config = FAMILIES["Phi3"].config | {"original_max_position_embeddings": 96}
    backend = load(make_model(tmp_path, family="Phi3", **config), registry=registry)
    assert backend.loaded.model.config.max_position_embeddings == 4096
    assert backend.context_length == 96


def test_the_hash_follows_the_weights(tiny_backend, tmp_path, registry):
    other = load(make_model(tmp_path, seed=1), registry=registry)
    assert len(tiny_backend.model_hash) == 64
    assert other.model_hash != tiny_backend.model_hash


def test_the_self_test_passes(tiny_backend):
    checks = tiny_backend.self_test()
    assert len(checks) == 4
    assert all(check.passed for check in checks), checks


def test_the_self_test_notices_a_dropped_bias(tiny_backend, monkeypatch):
    from xmguard.backends.transformers.session import TransformersSession

    monkeypatch.setattr(TransformersSession, "_steering", lambda self, branches, generated: None)
    failed = {check.name for check in tiny_backend.self_test() if not check.passed}
    assert failed == {"eps = +2 is Eq. 2", "eps = -inf removes", "the bias moves attention"}
