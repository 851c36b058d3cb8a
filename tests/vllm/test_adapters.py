"""Adapters act on the readers of the requests that ask for them, and on nothing else; the probe is read exactly."""

import pytest
import torch

from tests.integration.eager import Eager
from tests.integration.parity import RULES
from tests.vllm.adapters import AdaptedEager, Lora
from tests.vllm.engine import PROMPT, SPANS, Asked, Engine
from tests.vllm.parity import assert_parity
from xmguard.bias import REMOVE, AttentionBias
from xmguard.testing.tiny import make_model

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WHOLE = 5e-5
"""Of adapted rows, as `parity.WHOLE`: there the float32 reference itself is up to 3e-5 from one in float64."""
LIFT = AttentionBias({"b": 2.0})
BIASES = {"none": AttentionBias(), "lift": LIFT, "target": RULES["target"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("llama"), head_dim=32)


@pytest.fixture(scope="module")
def eager(folder):
    return Eager(folder)


@pytest.fixture(scope="module")
def answering(folder, eager, tmp_path_factory):
    lora = Lora(tmp_path_factory.mktemp("adapters") / "answer", eager.model, ALL, 3)
    return AdaptedEager(folder, lora), lora


@pytest.fixture(scope="module")
def probing(folder, eager, tmp_path_factory):
    lora = Lora(tmp_path_factory.mktemp("adapters") / "probe", eager.model, ("q_proj", "v_proj", "down_proj"), 2, 3)
    return AdaptedEager(folder, lora), lora


@pytest.fixture(scope="module")
def engine(folder, answering, probing):
    adapters = {"answer": {**answering[1].asked, "layers": None}, "probe": probing[1].asked}
    engine = Engine(folder, max_num_batched_tokens=96, adapters=adapters)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def batch(engine):
    """The same prompt adapted, probed and as it is, at once."""
    engine.read(Asked(PROMPT[: SPANS.context_tokens], steps=1))
    asked = {}
    for kind, bias in BIASES.items():
        asked[f"{kind}, answer"] = Asked(PROMPT, SPANS, bias, more={"adapter": "answer"})
        asked[f"{kind}, probe"] = Asked(PROMPT, SPANS, bias, steps=1, more={"adapter": "probe", "measured": False})
        asked[f"{kind}, plain"] = Asked(PROMPT, SPANS, bias)
    asked["no reading"] = Asked(PROMPT)
    return dict(zip(asked, engine.read(*asked.values()), strict=True))


@pytest.mark.parametrize("kind", BIASES)
def test_an_adapted_answer_reads_and_is_measured_through_the_adapted_layers(batch, answering, kind):
    asked = Asked(PROMPT, SPANS, BIASES[kind])
    assert_parity(answering[0], asked, batch[f"{kind}, answer"], WHOLE)
    assert batch[f"{kind}, answer"].tokens != batch[f"{kind}, plain"].tokens


@pytest.mark.parametrize("kind", BIASES)
def test_rows_of_other_requests_are_left_as_they_are(batch, eager, kind):
    assert_parity(eager, Asked(PROMPT, SPANS, BIASES[kind]), batch[f"{kind}, plain"])
    want, _, _ = eager.answer(PROMPT, batch["no reading"].tokens, SPANS, AttentionBias())
    assert batch["no reading"].tokens == want


@pytest.mark.parametrize("kind", BIASES)
def test_the_probe_says_what_its_adapter_and_classifier_make_of_the_last_row(batch, probing, kind):
    logits = batch[f"{kind}, probe"].only("probe")["logits"]
    assert logits == pytest.approx(probing[0].probe(PROMPT, SPANS, BIASES[kind]), abs=2e-5)


def test_adapted_requests_share_the_context_and_no_block_after_it(engine, batch, answering, probing):
    asked = Asked(PROMPT, SPANS, LIFT, more={"adapter": "answer"})
    (read,) = engine.read(asked)
    assert read.cached == SPANS.context_tokens // 32 * 32
    assert_parity(answering[0], asked, read, WHOLE)
    removed = AttentionBias({"a": REMOVE})
    (read,) = engine.read(Asked(PROMPT, SPANS, removed, steps=1, more={"adapter": "probe", "measured": False}))
    assert read.only("probe")["logits"] == pytest.approx(probing[0].probe(PROMPT, SPANS, removed), abs=2e-5)


def test_an_adapter_that_does_not_fit_is_refused_with_every_reason(engine, eager, tmp_path):
    from xmguard.backends.low_rank import Unusable
    from xmguard.backends.vllm.worker.row_adapters import load_adapter

    model = engine.llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner.model
    lora = Lora(tmp_path / "deep", eager.model, ALL, 3)
    for changes, says in (
        ({"sha256": "0" * 64}, "hash to"),
        ({"layers": 2}, "adapts model.layers.2.self_attn.q_proj, which is no linear layer that it runs"),
        ({"folder": str(tmp_path)}, "cannot be read"),
    ):
        with pytest.raises(Unusable, match=says):
            load_adapter(lora.asked | changes, model, torch.float32)
    assert engine.examined["reasons"] == []
