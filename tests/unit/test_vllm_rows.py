"""Keys in pages, read row by row and many rows at once: the same as attention over the keys in order."""

import pytest
import torch

from xmguard.attention.reference import reference_attention
from xmguard.attention.segments import Segmentation
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.layout import Layout, Order
from xmguard.backends.vllm.worker.overlay import serve
from xmguard.backends.vllm.worker.readings import Chunk, ModelFacts, Reader
from xmguard.backends.vllm.worker.row_batch import batches, serve_rows
from xmguard.bias import REMOVE, AttentionBias, SoftenShares, TargetShares
from xmguard.context import SpanMap, SpanTokens

HEADS, KV_HEADS, WIDTH, BLOCK = 4, 2, 8, 4
FACTORS = torch.linalg.qr(torch.randn(HEADS, 12, WIDTH, generator=torch.Generator().manual_seed(3)), mode="r").R
FACTS = ModelFacts({"only": 0}, HEADS, slice(0, HEADS), [FACTORS])
SPANS = SpanMap((SpanTokens("a", 2, 9), SpanTokens("b", 9, 13)), 13)
HALF = ((1.0, 0.0, 0.5, 1.0),)
BIASES = [
    AttentionBias(),
    AttentionBias({"a": 2.0, "b": -1.0}),
    AttentionBias({"a": REMOVE}),
    AttentionBias({"b": 3.0}, heads=HALF),
    AttentionBias(rule=TargetShares({"b": 0.6})),
    AttentionBias({"a": -1.0}, rule=SoftenShares(3.0)),
]
LENGTHS = [14, 29, 16, 17, 40, 15]


def pages(seed, *, window=None, soft_cap=None, sinks=None):
    """A batch of sequences whose keys lie in pages, in no order of blocks, and the keys in order."""
    generator = torch.Generator().manual_seed(seed)
    counts = [-(-length // BLOCK) for length in LENGTHS]
    order = torch.randperm(sum(counts), generator=generator)
    table = torch.zeros(len(LENGTHS), max(counts), dtype=torch.int32)
    keys, values = torch.randn(2, sum(counts), KV_HEADS, BLOCK, WIDTH, generator=generator).unbind()
    for row, own in enumerate(order.split(counts)):
        table[row, : len(own)] = own
    plain = torch.arange(BLOCK * WIDTH)
    turned = keys.transpose(2, 3).contiguous().view(keys.shape)
    call = LayerCall(
        layer=0,
        query=torch.randn(len(LENGTHS), HEADS, WIDTH, generator=generator),
        output=torch.zeros(len(LENGTHS), HEADS, WIDTH),
        key_cache=turned,
        value_cache=values,
        layout=Layout(Order(plain.view(WIDTH, BLOCK).T.reshape(-1), BLOCK), Order(plain, BLOCK)),
        block_table=table,
        scaling=WIDTH**-0.5,
        window=window,
        soft_cap=soft_cap,
        sinks=sinks,
        factors=FACTORS,
    )
    ordered = [(keys[table[row].long()], values[table[row].long()]) for row in range(len(LENGTHS))]
    return call, [[part.transpose(0, 1).flatten(1, 2).unsqueeze(0) for part in pair] for pair in ordered]


def chunks(measured):
    readers = [
        Reader(ReadingSpec(str(row), SPANS, 13, bias, measured=measured), [], FACTS) for row, bias in enumerate(BIASES)
    ]
    return [
        Chunk(reader, row, row, length - 1, length, ((reader.generated, length - 1, length),) if measured else ())
        for row, (reader, length) in enumerate(zip(readers, LENGTHS, strict=True))
    ]


KINDS = {
    "plain": {},
    "window": {"window": 11},
    "soft cap": {"soft_cap": 2.0},
    "sinks": {"sinks": torch.tensor([0.5, -1.0, 2.0, 0.0])},
}


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_at_once_are_the_rows_one_by_one(kind, measured):
    together, _ = pages(1, **KINDS[kind])
    apart, _ = pages(1, **KINDS[kind])
    rows, loop = chunks(measured), chunks(measured)
    found = list(
        batches([chunk for chunk in rows if chunk.is_row], together.block_table, BLOCK, together.window, 1, HEADS)
    )
    assert len(found) > 1  # too unlike in length to be padded to one
    for batch in found:
        serve_rows(together, batch)
        batch.settle()
    for chunk in loop:
        serve(apart, chunk)
    torch.testing.assert_close(together.output, apart.output, rtol=1e-5, atol=1e-6)
    for one, other in zip(rows, loop, strict=True):
        if measured:
            for ours, theirs in zip(one.reader.generated.arrays(), other.reader.generated.arrays(), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_in_pages_are_attention_over_the_keys_in_order(kind):
    call, ordered = pages(2, **KINDS[kind])
    for chunk in chunks(measured=True)[:3]:
        serve(call, chunk)
        (key, value), length = ordered[chunk.index], chunk.stop
        key, value = key[:, :, :length], value[:, :, :length]
        bias = chunk.reader.spec.bias
        epsilon = torch.tensor([0.0, *(bias.epsilon.get(name, 0.0) for name in SPANS.ids)]).view(-1, 1, 1, 1)
        visible = torch.arange(length) >= (0 if call.window is None else length - call.window)
        want = reference_attention(
            call.query[chunk.row].view(1, HEADS, 1, WIDTH),
            key,
            value,
            segmentation=Segmentation.from_spans([(span.start, span.stop) for span in SPANS], length),
            epsilon=epsilon,
            scaling=call.scaling,
            visible=visible,
            soft_cap=call.soft_cap,
            sinks=call.sinks,
        )
        if not bias.is_zero:
            torch.testing.assert_close(call.output[chunk.row].double(), want.output[0, :, 0], rtol=1e-5, atol=1e-6)
        _, masses, epsilons = chunk.reader.generated.arrays()
        torch.testing.assert_close(masses[0].double(), want.masses[:, 0, :, 0].T, rtol=1e-5, atol=1e-6)
        assert torch.equal(epsilons[0], epsilon.view(1, -1).expand(HEADS, -1))


def test_rows_without_a_bias_keep_what_vllm_wrote():
    call, _ = pages(3)
    (plain, *_) = chunks(measured=True)
    for batch in batches([plain], call.block_table, BLOCK, None, 1, HEADS):
        serve_rows(call, batch)
    assert not call.output.any()
