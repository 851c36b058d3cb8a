"""From the travelling weights to a folder in the cache that xmguard serves."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_parts import VISION, make_base, make_parts, noise, random_tower

import xmguard_smolvlm_tiny
from xmguard.backends.transformers.loader import load
from xmguard.errors import ModelRefused, PluginError, SetupIncomplete
from xmguard.models import smollm2
from xmguard.plugins import load_plugins
from xmguard.profile import CARD
from xmguard_smolvlm_tiny import travelling
from xmguard_smolvlm_tiny.source import SmolVlmTiny

ADAPTED = "language_model.layers.1.mlp.up_proj"
SCALE = 2.0


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache that holds a tiny base in SmolLM2's place."""
    monkeypatch.setenv("XMGUARD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models" / smollm2.FOLDER
    folder.mkdir(parents=True)
    make_base(folder)
    return folder


@pytest.fixture
def weights(tmp_path, cache):
    """What travels: a tower, a projector that knows nothing, and one adapted matrix."""
    model, _ = make_parts(cache)
    tensors = {f"vision_tower.{name}": value for name, value in random_tower().items()}
    tensors |= {f"projector.{name}": value for name, value in model.model.projector.state_dict().items()}
    tensors[f"{ADAPTED}.lora_A.weight"] = torch.randn(4, 48)
    tensors[f"{ADAPTED}.lora_B.weight"] = torch.randn(96, 4)
    folder = tmp_path / "weights"
    travelling.write(tensors, folder, base=smollm2.FOLDER, lora_scale=SCALE, vision=VISION, training={"seed": 0})
    return folder


def test_the_adapter_is_merged_and_everything_else_is_the_base(weights, cache):
    steps = []
    folder = SmolVlmTiny(weights).pull(steps.append)
    assert "merging the adapter into SmolLM2 (once; a few seconds)" in steps
    made = load_file(folder / "model.safetensors")
    base = load_file(cache / "model.safetensors")
    sent = load_file(weights / travelling.TENSORS)
    change = sent[f"{ADAPTED}.lora_B.weight"].float() @ sent[f"{ADAPTED}.lora_A.weight"].float()
    for name, value in base.items():
        own = made[name.replace("model.", "model.language_model.", 1)]
        if ADAPTED.split(".", 1)[1] in name:
            assert torch.allclose(own, value + SCALE * change)
        elif "embed_tokens" in name:
            assert torch.equal(own[:-1], value)
        else:
            assert torch.equal(own, value)
    for name, value in sent.items():
        if not name.startswith("language_model."):
            assert torch.equal(made[f"model.{name}"], value.float())
    assert json.loads((folder / CARD).read_text())["training"] == {"seed": 0}


def test_a_second_pull_does_nothing_and_other_weights_go_elsewhere(weights, cache):
    source = SmolVlmTiny(weights)
    assert source.path() is None
    folder = source.pull()
    assert source.path() == folder
    steps = []
    assert source.pull(steps.append) == folder
    assert steps == []
    travelling.write(
        load_file(weights / travelling.TENSORS) | {f"{ADAPTED}.lora_A.weight": torch.zeros(4, 48)},
        weights,
        base=smollm2.FOLDER,
        lora_scale=SCALE,
        vision=VISION,
        training={},
    )
    assert source.path() is None


def test_without_weights_it_says_how_they_are_made(tmp_path, cache):
    source = SmolVlmTiny(tmp_path / "nothing")
    assert source.path() is None
    with pytest.raises(SetupIncomplete, match=r"no weights in this distribution.*tiny_vlm train, then export"):
        source.pull()


def test_changed_weights_are_refused_naming_both_hashes(weights, cache):
    file = weights / travelling.TENSORS
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    manifest = travelling.read_manifest(weights)
    with pytest.raises(ModelRefused, match=f"SHA-256 [0-9a-f]{{64}}, expected {manifest.sha256}"):
        SmolVlmTiny(weights).pull()
    file.unlink()
    with pytest.raises(SetupIncomplete, match="is missing; install xmguard-smolvlm-tiny again"):
        SmolVlmTiny(weights).pull()


@pytest.mark.parametrize("value", [70_000.0, float("nan")])
def test_weights_that_half_precision_cannot_hold_are_not_written(tmp_path, value):
    tensors = {"projector.a": torch.ones(2), "projector.b": torch.tensor([1.0, value])}
    with pytest.raises(ModelRefused, match=r"projector\.b is not finite in half precision$"):
        travelling.write(tensors, tmp_path / "w", base="b", lora_scale=SCALE, vision=VISION, training={})
    assert not (tmp_path / "w").exists()


def test_weights_that_are_too_large_to_travel_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(travelling, "LIMIT", 1000)
    with pytest.raises(ModelRefused, match=r"its weights take 20\d\d bytes; 1000 may travel"):
        travelling.write({"a": torch.ones(1000)}, tmp_path / "w", base="b", lora_scale=SCALE, vision={}, training={})
    assert not (tmp_path / "w").exists()


def test_the_weights_in_this_distribution_are_their_manifests_and_small_enough():
    manifest = travelling.read_manifest()
    if manifest is None:
        pytest.skip("no weights were put into the distribution")
    assert travelling.checked_tensors(manifest).stat().st_size <= travelling.LIMIT


def test_weights_for_another_smollm2_are_refused(weights, cache):
    manifest = json.loads((weights / travelling.MANIFEST).read_text())
    (weights / travelling.MANIFEST).write_text(json.dumps(manifest | {"base": "smollm2-9"}))
    with pytest.raises(ModelRefused, match=r"adapt smollm2-9, and this xmguard's SmolLM2 is smollm2-0\.1\.2"):
        SmolVlmTiny(weights).pull()


@pytest.mark.parametrize("text", ["{", "[]", '{"sha256": "0"}', '{"more": 1}', "\xff"])
def test_a_damaged_manifest_is_named(weights, text):
    (weights / travelling.MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(PluginError, match=r"weights/manifest\.json is no manifest: .*install"):
        SmolVlmTiny(weights).path()


def test_without_weights_the_model_is_not_known_but_its_architecture_is(tmp_path, monkeypatch):
    monkeypatch.setattr(travelling, "FOLDER", tmp_path)
    registry = load_plugins(extra={"smolvlm-tiny": xmguard_smolvlm_tiny})
    assert "smolvlm-tiny" not in registry.models.items
    assert "smolvlm_tiny" in registry.architectures.items


def test_xmguard_loads_it_as_a_model_that_reads_pictures(weights, cache, monkeypatch):
    monkeypatch.setattr(travelling, "FOLDER", weights)
    registry = load_plugins(extra={"smolvlm-tiny": xmguard_smolvlm_tiny})
    assert registry.models.items["smolvlm-tiny"].modalities == ("text", "image")
    backend = load(SmolVlmTiny(weights).pull(), registry=registry)
    assert backend.modalities == ("text", "image")
    assert all(check.passed for check in backend.self_test())


def test_importing_the_plugin_imports_no_engine():
    import subprocess
    import sys
    from pathlib import Path

    source = Path(xmguard_smolvlm_tiny.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r}); import xmguard_smolvlm_tiny as plugin;"
        "plugin.xmguard_models(); plugin.xmguard_architectures();"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_parts_really_differ_between_pictures(cache):
    model, processor = make_parts(cache)
    pixels = processor.image_processor([noise(0), noise(1)], return_tensors="pt").pixel_values
    with torch.inference_mode():
        first, second = model.get_image_features(pixels).pooler_output
    assert not torch.allclose(first, second, atol=1e-3)
