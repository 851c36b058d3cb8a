from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import chat_api
from tests.unit.command_line import one_error_line, xmguard
from xmguard.cli import doctor
from xmguard.contracts import SelfCheck
from xmguard.response import ModelInfo


@pytest.fixture
def steerable(tmp_path: Path) -> Path:
    """All that a look at a model takes: a configuration, and files of the right names."""
    from xmguard.testing.tiny import tiny_config

    config = tiny_config("Gemma2", vocab_size=300, architectures=["Gemma2ForCausalLM"], sliding_window=64)
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "tokenizer.json").touch()
    return tmp_path


def test_doctor_says_that_a_model_is_steered_exactly_and_tests_it_where_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, steerable: Path
):
    asked = {}

    class Engine:
        closed = False

        def close(self):
            self.closed = True

        def self_test(self):
            return [SelfCheck("epsilon 0", True, "changes nothing"), SelfCheck("removal", asked["device"] == "cpu", "")]

    engine = Engine()

    def load_guard(model: str, **settings: object):
        asked.update(settings, model=model)
        return SimpleNamespace(backend=engine, describe=lambda: ModelInfo(calibration="calibrated on 40 pairs"))

    monkeypatch.setattr(doctor, "load_guard", load_guard)
    monkeypatch.chdir(steerable)
    result = xmguard("doctor", "--model", ".", "--device", "cpu", "--dtype", "bfloat16", "--profile", "p.json")
    assert result.exit_code == 0, result.output
    assert (asked["model"], asked["device"], asked["dtype"]) == (".", "cpu", "bfloat16")
    assert asked["profile"] == Path("p.json")
    assert engine.closed
    for expected in ("LlamaForCausalLM", "policy fixed", "self-test on ., cpu, bfloat16", "changes nothing"):
        assert expected in result.stdout
    said = " ".join(result.stdout.split())
    assert ".: steered exactly: yes" in said
    assert ".: verdict: calibrated on 40 pairs" in said
    assert "sliding window of 64 tokens in layers 0, 2" in said
    assert "soft cap logits stay within 50" in said
    assert "contributions are norms before the post-attention norm" in said
    assert "1 of 2 self-tests failed on .: removal" in one_error_line(
        xmguard("doctor", "--model", ".", "--device", "x")
    )


def test_doctor_gives_every_reason_why_a_model_is_not_steered_exactly_and_does_not_load_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from transformers import BloomConfig

    BloomConfig(n_layer=2, n_head=4, hidden_size=64, architectures=["BloomForCausalLM"]).save_pretrained(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = xmguard("doctor", "--model", ".")
    assert ". is not steered exactly, for the 7 reasons listed" in one_error_line(result)
    said = " ".join(result.stdout.split())
    assert ".: steered exactly: no" in said
    for reason in ("architecture BloomForCausalLM", "ALiBi", "no output projection o_proj", "no *.safetensors weights"):
        assert reason in said
    assert "self-test" not in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it holds no config.json"),
        ("{", "its config.json cannot be read"),
        ("[]", "its config.json is not a JSON object"),
        ('{"model_type": "own", "auto_map": {}}', "knows no model type own"),
        ('{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": -1}', "cannot build it"),
    ],
)
def test_doctor_looks_at_any_folder_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, reason: str
):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    monkeypatch.chdir(tmp_path)
    result = xmguard("doctor", "--model", ".")
    one_error_line(result)
    assert ".: steered exactly: no" in result.stdout
    assert reason in " ".join(result.stdout.split())


def test_doctor_names_a_model_that_is_not_there():
    assert "no model 'nowhere'" in one_error_line(xmguard("doctor", "--model", "nowhere"))


def test_doctor_says_that_a_gpu_is_slower_without_triton(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    shown = " ".join(xmguard("doctor", "--model", "nowhere").stdout.split())
    assert "triton not installed: a GPU would take the slower path" in shown


def test_doctor_shows_what_an_api_offers_and_lacks():
    with chat_api.serving() as api:
        result = xmguard("doctor", "--engine", "openai", "--model", chat_api.MODEL, "--base-url", api.url)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "log-probabilities passed offered, with the 20 likeliest tokens" in said
    assert "contributions passed absent: an API of chat completions" in said
