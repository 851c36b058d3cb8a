"""Windows, soft caps, biased projections, normed heads: tiny models of other families read as eager attention does."""

import pytest

from tests.integration.eager import Eager
from tests.integration.parity import BIASES, RULES
from tests.vllm.engine import PROMPT, SPANS, Asked, Engine
from tests.vllm.parity import assert_parity
from xmguard.testing.tiny import make_model

WINDOW = 45  # from the prompt's end it hides the first span, and some of the second
MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
FAMILIES = {
    "Qwen2": {"hidden_size": 192},  # it takes the head's width from it
    "Gemma2": MIXED | {"attn_logit_softcapping": 8.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 24},
    "Gemma3": MIXED | {"query_pre_attn_scalar": 24},
}
KINDS = {
    name: (BIASES | RULES)[name]
    for name in (
        "none",
        "lift the second",
        "lift the first, every later row",
        "generated rows only",
        "target after a removal",
        "constant by head",
    )
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """The reference of a family, and what one batch in vLLM gave."""
    folder = make_model(tmp_path_factory.mktemp("family"), family=request.param, head_dim=32, **FAMILIES[request.param])
    engine = Engine(folder, max_num_batched_tokens=96)
    reads = engine.read(*(Asked(PROMPT, SPANS, bias) for bias in KINDS.values()))
    engine.close()
    return Eager(folder), dict(zip(KINDS, reads, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_reads_with_a_bias_and_is_measured(family, kind):
    eager, reads = family
    assert_parity(eager, Asked(PROMPT, SPANS, KINDS[kind]), reads[kind])


def test_a_bias_changes_what_every_family_says(family):
    _, reads = family
    pairs = zip(reads["lift the second"].logprobs, reads["none"].logprobs, strict=True)
    assert max(abs(lifted - plain) for lifted, plain in pairs) > 1e-2
