"""Every architecture that is let in, against its own eager attention: steered and measured exactly, float32.

Prompts are longer than every window, and windows end inside the spans while the answer is read: what a window hides is
part of the comparison.
"""

import pytest

from tests.integration.eager import Eager
from tests.integration.parity import BIASES, RULES, STEPS, THREE, assert_parity, tokens_that_a_bias_changes
from xmguard.backends.transformers.families import PROVEN
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.request import Prompt
from xmguard.testing import make_model

WINDOW = 190
MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
# Routing to experts is discontinuous: a tie (with seed 0 a margin of 1e-6 between two router logits) turns a rounding
# difference into another expert. With this seed the margins are above 1e-4.
EXPERTS = {"num_experts_per_tok": 2, "seed": 1}
FAMILIES = {
    "Llama": {},
    "Mistral": {"sliding_window": WINDOW},
    "Qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "Qwen3": {},
    "Gemma2": MIXED | {"attn_logit_softcapping": 8.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 16},
    "Gemma3": MIXED | {"query_pre_attn_scalar": 16},
    "Phi3": {},
    "Cohere": {"logit_scale": 1.0},
    "Cohere2": MIXED | {"logit_scale": 1.0},
    "Olmo2": {},
    "GptOss": MIXED | EXPERTS | {"num_local_experts": 4},
    "Granite": {"attention_multiplier": 0.25, "logits_scaling": 1.0},
    "SmolLM3": {"no_rope_layers": [1, 0, 1], "use_sliding_window": False},
    "Mixtral": EXPERTS | {"num_local_experts": 4, "sliding_window": WINDOW},
    "Qwen3Moe": EXPERTS | {"num_experts": 4, "moe_intermediate_size": 32},
}
KINDS = [
    "none",
    "lift the second",
    "remove the first",
    "several",
    "lift the first, every later row",
    "generated rows only",
    "target",
    "constant by head",
]


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory, registry):
    folder = make_model(tmp_path_factory.mktemp("model"), family=request.param, **FAMILIES[request.param])
    return load(folder, registry=registry), Eager(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_family_is_read_and_steered_exactly(pair, kind):
    assert_parity(*pair, (BIASES | RULES)[kind])


def test_windows_end_inside_the_spans(pair):
    """As long as they are meant to be: a longer prompt template would quietly move the spans out of sight."""
    backend, _ = pair
    prompt = backend.encode(THREE, Prompt.STANDARD)
    length = len(prompt.context_ids) + len(prompt.joint_tail)
    first_seen = [length - WINDOW, length + STEPS - WINDOW]
    spans = prompt.span_map.spans
    assert any(spans[0].start < position < spans[-1].stop for position in first_seen)


def test_a_familys_reference_can_fail(pair):
    assert tokens_that_a_bias_changes(*pair) >= 8


def test_an_engine_that_drops_the_bias_fails(pair, monkeypatch):
    monkeypatch.setattr(TransformersSession, "_steering", lambda self, branches, generated: None)
    with pytest.raises(AssertionError):
        assert_parity(*pair, BIASES["lift the second"])


def test_every_proven_architecture_is_tested_here():
    assert {f"{family}ForCausalLM" for family in FAMILIES} == set(PROVEN)
