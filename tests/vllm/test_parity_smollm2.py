"""The embedded model in vLLM, over real sources: tokens and contributions of 32 steps equal eager attention's."""

import pytest
import torch

from tests.integration.eager import Eager
from tests.vllm.engine import Asked, Engine
from tests.vllm.parity import assert_parity
from xmguard.bias import AttentionBias, FloorShares
from xmguard.context import SpanMap, SpanTokens
from xmguard.plugins import load_plugins
from xmguard.request import Scope

pytestmark = pytest.mark.model

FERRY = "Passengers should be at pier two early: the ferry to Ransey leaves at 8:15."
NOTICE = "A notice at the harbour says that the ferry to Ransey leaves at 9:40 this summer."
CHINESE = "港口的通知说，开往兰西的渡轮今年夏天九点四十分出发。"
QUESTION = "\nWhat time does the ferry to Ransey leave?<|im_end|>\n<|im_start|>assistant\n"
STEPS = 32
CASES = {
    "none": ((FERRY, NOTICE), AttentionBias()),
    "lift the second": ((FERRY, NOTICE), AttentionBias({"b": 2.0})),
    "lower the first": ((FERRY, NOTICE), AttentionBias({"a": -6.0})),
    "two scripts": ((CHINESE, NOTICE), AttentionBias({"a": 3.0, "b": -1.0})),
    "three, every later row": ((FERRY, CHINESE, NOTICE), AttentionBias({"a": -1.0, "b": 2.5, "c": 0.5}, Scope.ALL)),
    "floor": ((FERRY, NOTICE), AttentionBias(rule=FloorShares({"a": 1.0}, cap=3.0))),
    "long": ((FERRY, NOTICE * 12, FERRY * 8), AttentionBias({"a": 2.0, "b": -2.0, "c": 1.0})),
}


@pytest.fixture(scope="module")
def folder():
    path = load_plugins().models.items["smollm2"].path()
    if path is None:
        pytest.skip("smollm2 is not pulled: run `make setup`")
    return path


@pytest.fixture(scope="module")
def asked(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    def request(texts, bias):
        everything, spans = ids("<|im_start|>user\n"), []
        for name, text in zip("abc", texts, strict=False):
            start = len(everything)
            everything += ids(text)
            spans.append(SpanTokens(name, start, len(everything)))
            everything += ids("\n")
        span_map = SpanMap(tuple(spans), spans[-1].stop)
        return Asked([*everything[: spans[-1].stop], *ids(QUESTION)], span_map, bias, steps=STEPS)

    return {name: request(*case) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def reads(folder, asked):
    engine = Engine(folder, kv_cache_memory_bytes=256 << 20, max_model_len=1024, max_num_batched_tokens=256)
    found = engine.read(*asked.values())
    engine.close()
    return dict(zip(asked, found, strict=True))


@pytest.fixture(scope="module")
def eager(folder):
    return Eager(folder)


@pytest.mark.parametrize("case", CASES)
def test_the_embedded_model_reads_as_eager_attention_does(reads, eager, asked, case):
    assert_parity(eager, asked[case], reads[case])


def test_a_bias_changes_what_the_embedded_model_says(reads):
    assert reads["lift the second"].tokens != reads["none"].tokens
    assert torch.tensor(reads["none"].entropies).min() >= 0
