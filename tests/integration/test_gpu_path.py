"""The engine's way of reading on a GPU, with its kernels interpreted: it reads what the CPU path reads, which is proven
against eager attention. No GPU is needed, and none is proven by it.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("triton", reason="there is no triton for this platform")

from xmguard.attention.segments import Segmentation
from xmguard.backends.transformers import gpu_reading
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.branch_reading import BranchReading, segmented
from xmguard.backends.transformers.context_keys import ContextKeys
from xmguard.backends.transformers.rows import Rows
from xmguard.backends.transformers.steering import steer
from xmguard.bias import REMOVE, AttentionBias, TargetShares
from xmguard.context import SpanMap, SpanTokens

CONTEXT, BATCH, HEADS, KV_HEADS, HEAD_DIM = 40, 2, 4, 2, 16
SPANS = SpanMap((SpanTokens("a", 3, 14), SpanTokens("b", 15, 31)), CONTEXT)
CUT = Segmentation.from_spans([(3, 14), (15, 31)], CONTEXT)
MODEL = SimpleNamespace(layers=1, heads=HEADS, model=SimpleNamespace(device=torch.device("cpu")))
BIASES = {
    "none": [AttentionBias()] * BATCH,
    "constant": [AttentionBias({"a": 2.0, "b": -1.0}), AttentionBias({"a": REMOVE})],
    "by head": [AttentionBias({"b": 3.0}, heads=((1.0, 0.5, 0.0, 1.0),)), AttentionBias()],
    "rule": [AttentionBias(rule=TargetShares({"a": 0.5})), AttentionBias({"b": 1.0})],
}
ODDITIES = {"plain": {}, "window": {"window": 29}, "soft cap and sinks": {"soft_cap": 2.0, "sinks": torch.ones(HEADS)}}


def rows_and_call(queries, biases, with_context=True, **oddities):
    generator = torch.Generator().manual_seed(queries)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    own = queries + 3
    padding = torch.tensor([0, 2])
    context = ContextKeys((draw(1, KV_HEADS, CONTEXT, HEAD_DIM),), (draw(1, KV_HEADS, CONTEXT, HEAD_DIM),), CUT)
    last = torch.tensor([CONTEXT + own - 1, CONTEXT + own - 1]) - padding
    rows = Rows(
        segments=3,
        own=Segmentation.from_spans([], own),
        context=context if with_context else None,
        positions=last.unsqueeze(-1) + torch.arange(1 - queries, 1),
        own_start=last - own + 1,
        key_mask=torch.arange(own) >= padding.unsqueeze(-1),
        steering=steer(MODEL, biases, SPANS),
    )
    shape = (BATCH, KV_HEADS, own, HEAD_DIM)
    call = AttentionCall(
        0, draw(BATCH, HEADS, queries, HEAD_DIM) * 2, draw(*shape), draw(*shape), 0.3, None, None, None
    )
    return rows, replace(call, **oddities)


def read(queries, biases, with_context, oddities):
    """What the engine reads, and what it measures from."""
    rows, call = rows_and_call(queries, biases, with_context, **oddities)
    states, merged, _ = segmented(rows, call)
    return BranchReading(rows).read(call), states.out, states.lse, merged.weights


def on_a_gpu(*arguments):
    """The same as the engine would on a GPU; runs in the interpreting process."""
    launched = []
    gpu_reading.usable = lambda query: bool(launched.append(query)) or True
    found = read(*arguments)
    assert len(launched) == 2
    return found


@pytest.fixture(scope="module")
def interpreted():
    spawning = multiprocessing.get_context("spawn")
    interpret = "import os; os.environ['TRITON_INTERPRET'] = '1'"
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=exec, initargs=(interpret, {})) as pool:
        yield lambda *arguments: pool.submit(on_a_gpu, *arguments).result()


CASES = [
    *((1, biases, oddities) for biases in BIASES for oddities in ODDITIES),
    # Of several rows every bias and every oddity; how they cross is the business of the kernels' own tests.
    (5, "none", "soft cap and sinks"),
    (5, "constant", "window"),
    (5, "by head", "plain"),
    (5, "rule", "window"),
]


@pytest.mark.parametrize(("queries", "biases", "oddities"), CASES)
def test_the_kernels_read_what_the_cpu_reads(interpreted, queries, biases, oddities):
    arguments = (queries, BIASES[biases], True, ODDITIES[oddities])
    for got, want in zip(interpreted(*arguments), read(*arguments), strict=True):
        torch.testing.assert_close(got, want, rtol=2e-5, atol=2e-5)


def test_a_context_is_prefilled_through_the_kernels_too(interpreted):
    arguments = (5, BIASES["none"], False, {})
    for got, want in zip(interpreted(*arguments), read(*arguments), strict=True):
        torch.testing.assert_close(got, want, rtol=2e-5, atol=2e-5)


def test_the_comparison_can_fail(interpreted):
    """A bias that only one of the two applies is seen."""
    got = interpreted(1, BIASES["constant"], True, {})[0]
    assert not torch.allclose(got, read(1, BIASES["none"], True, {})[0], atol=1e-2)
