"""The model that is served where none is named: from the distribution's folder to a loaded guard."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import xmguard_smollm2_mixed
from xmguard import load_guard
from xmguard.errors import ModelRefused, SetupIncomplete
from xmguard.models import smollm2
from xmguard.models.checkpoint import ActsOn, read_adapter_card
from xmguard.models.resolve import default_model, resolve
from xmguard.plugins import load_plugins
from xmguard.testing import make_model
from xmguard_smollm2_mixed import source
from xmguard_smollm2_mixed.source import SmolLM2Mixed

NAME = "smollm2-mixed"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache that holds a tiny base in SmolLM2's place."""
    monkeypatch.setenv("XMGUARD_CACHE", str(tmp_path / "cache"))
    return make_model(tmp_path / "cache" / "models" / smollm2.FOLDER)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """What travels: one matrix adapted."""
    folder = tmp_path / "weights"
    folder.mkdir()
    key = "base_model.model.model.layers.0.mlp.up_proj.lora_"
    tensors = {f"{key}A.weight": torch.randn(2, 48).half(), f"{key}B.weight": torch.randn(96, 2).half()}
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    monkeypatch.setattr(source, "WEIGHTS", folder)
    return folder


def write_card(weights, base_sha256):
    digest = hashlib.sha256((weights / "adapter_model.safetensors").read_bytes()).hexdigest()
    card = {"name": NAME, "base_model": "smollm2", "base_sha256": base_sha256}
    card["adapter"] = {"acts_on": "answer", "sha256": digest}
    (weights / "xmguard.json").write_text(json.dumps(card))


def registry():
    return load_plugins(extra={NAME: xmguard_smollm2_mixed})


def test_without_weights_it_is_not_known_and_the_default_is_the_base(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(source, "WEIGHTS", tmp_path / "nothing")
    assert NAME not in registry().models.items
    assert default_model(registry()) == "smollm2"
    with pytest.raises(SetupIncomplete, match=r"no weights in this distribution.*xmguard mix train"):
        SmolLM2Mixed(tmp_path / "nothing").pull()


def test_it_is_the_default_once_smollm2_is_here_and_smollm2_is_one_flag_away(weights, cache):
    write_card(weights, hashlib.sha256((cache / "model.safetensors").read_bytes()).hexdigest())
    assert SmolLM2Mixed(weights).pull() == weights
    guard, base = (load_guard(name, registry=registry(), profile=_none(weights)) for name in ("", "smollm2"))
    assert guard.model == NAME
    assert guard.backend.evidence_hash == base.backend.model_hash != guard.stamp.model_hash
    assert guard.backend.loaded.adapter is not None
    assert base.backend.loaded.adapter is None


def _none(folder):
    """A profile without a verdict: SmolLM2's own probe does not fit the tiny model in its place."""
    path = folder.parent / "none.json"
    path.write_text(json.dumps({"profile": {"name": "none", "rebalance": {"policy": "none"}}}))
    return path


def test_while_smollm2_is_not_here_the_default_is_smollm2_which_names_the_command(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("XMGUARD_CACHE", str(tmp_path / "empty"))
    write_card(weights, "ab")
    assert SmolLM2Mixed(weights).path() is None
    assert default_model(registry()) == "smollm2"


def test_made_for_another_smollm2_it_is_refused(weights, cache):
    write_card(weights, "ab")
    with pytest.raises(ModelRefused, match="trained on a base that hashes to ab, this one to "):
        load_guard(NAME, registry=registry(), profile=_none(weights))


def test_it_reads_as_smollm2_does_with_its_profile(weights, cache):
    write_card(weights, "ab")
    found = resolve(NAME, registry())
    assert (found.name, found.path, found.profile) == (NAME, cache, smollm2.SmolLM2.profile)


def test_what_travels_is_what_its_card_says_and_small_enough():
    if not source.travels(source.WEIGHTS):
        pytest.skip("no weights were put into the distribution")
    card = read_adapter_card(source.WEIGHTS)
    assert (card.name, card.base_model, card.adapter.acts_on) == (NAME, "smollm2", ActsOn.ANSWER)
    content = (source.WEIGHTS / "adapter_model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.adapter.sha256
    assert sum(path.stat().st_size for path in source.WEIGHTS.iterdir()) <= source.LIMIT


def test_importing_the_plugin_imports_no_engine():
    src = Path(xmguard_smollm2_mixed.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(src)!r}); import xmguard_smollm2_mixed as plugin;"
        "plugin.xmguard_models(); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
