"""Both ways of reading paged keys give what the reference in float64 does."""

import pytest
import torch

from tests.integration.parity import BIASES, RULES
from tests.vllm.paged import LAYERS, Batch, Request, paired, turned
from xmguard.backends.vllm.worker.paths import TorchPath, chosen
from xmguard.backends.vllm.worker.readings import Step
from xmguard.bias import REMOVE, AttentionBias
from xmguard.request import Scope


def refuse(chunk, error):
    raise error


def read(batch, *, compiled, fail=refuse):
    path, said = chosen([(batch.call.layout, batch.call.key_cache.dtype)], LAYERS, compiled=compiled)
    assert isinstance(path, TorchPath) is not compiled, said
    step = Step(batch.chunks)
    path(batch.call, step, fail)
    for finish in step.settled:
        finish()


PATHS = pytest.mark.parametrize("compiled", [False, True], ids=["torch", "compiled"])


def ragged():
    """Decoded rows, prompts and a later chunk of one; spans across borders of blocks."""
    lifted, removed = AttentionBias({"a": 2.0, "b": -1.0}), AttentionBias({"b": REMOVE})
    return [
        Request(80, 81, bias=lifted),
        Request(0, 75, bias=AttentionBias({"a": 2.0}, Scope.ALL)),
        Request(90, 91, bias=removed, measured=False),
        Request(64, 97, prompt=120),
        Request(130, 131, spans=((0, 128),), bias=AttentionBias({"a": REMOVE})),
        Request(31, 34, spans=((5, 6), (6, 31)), bias=AttentionBias({"a": 1.0, "b": 1.0}), prompt=34),
        Request(66, 72, bias=AttentionBias({"a": REMOVE, "b": REMOVE, "c": 3.0}, Scope.GENERATED)),
    ]


@PATHS
@pytest.mark.parametrize("settings", [{}, {"window": 17}, {"soft_cap": 2.0}, {"sinks": torch.linspace(-1, 2, 6)}])
def test_a_ragged_batch_is_read_as_the_reference_reads_it(compiled, settings):
    batch = Batch(ragged(), **settings)
    read(batch, compiled=compiled)
    batch.assert_read(rtol=1e-5, atol=5e-6)


@PATHS
@pytest.mark.parametrize(("kv_heads", "dim"), [(6, 64), (2, 80), (1, 112)])
def test_heads_that_share_keys_and_uneven_widths(compiled, kv_heads, dim):
    batch = Batch(ragged(), kv_heads=kv_heads, dim=dim)
    read(batch, compiled=compiled)
    batch.assert_read(rtol=1e-5, atol=5e-6)


@PATHS
def test_every_kind_of_bias_in_one_batch(compiled):
    batch = Batch([Request(64, 75, bias=_in_two_layers(bias)) for bias in (BIASES | RULES).values()])
    read(batch, compiled=compiled)
    batch.assert_read(rtol=2e-5, atol=1e-5)


@PATHS
@pytest.mark.parametrize("layout", [turned, paired])
def test_sixteen_bit_keys_are_read_exactly(compiled, layout):
    batch = Batch(ragged(), layout=layout(64), dim=64, dtype=torch.bfloat16)
    read(batch, compiled=compiled)
    # Sums are float32's; what is written is rounded to 8 bits.
    batch.assert_read(rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(
    ("layout", "dtype"), [(turned(64), torch.float16), (paired(64), torch.float32), (turned(40), torch.float32)]
)
def test_a_cache_that_the_kernel_does_not_know_is_left_to_torch(layout, dtype):
    path, said = chosen([(turned(64), torch.float32), (layout, dtype)], LAYERS)
    assert isinstance(path, TorchPath)
    assert said.startswith("torch, because")


def test_the_compiled_path_reads_a_batch_of_more_rows_than_it_holds_at_once(monkeypatch):
    from xmguard.backends.vllm.worker import compiled

    monkeypatch.setattr(compiled, "STATES", 1)
    batch = Batch([*ragged(), *(Request(60, 75, bias=bias) for bias in RULES.values() if bias.heads is None)])
    read(batch, compiled=True)
    batch.assert_read(rtol=2e-5, atol=1e-5)


def test_a_request_whose_epsilons_cannot_be_had_fails_alone(monkeypatch):
    broken, fine = Request(80, 81, bias=RULES["target"]), Request(80, 81, bias=RULES["floor"])
    batch = Batch([fine, broken, fine])
    failed = []

    def epsilon(*_):
        raise ArithmeticError

    monkeypatch.setattr(batch.chunks[1].reader.steering, "epsilon", epsilon)
    read(batch, compiled=True, fail=lambda chunk, error: failed.append((chunk.index, type(error))))
    assert failed == [(1, ArithmeticError)]
    assert not batch.call.output[1].any(), "it is never read without its bias"
    batch.without(1).assert_read(rtol=1e-5, atol=5e-6)


def _in_two_layers(bias):
    return bias if bias.heads is None else AttentionBias(bias.epsilon, bias.scope, bias.rule, bias.heads[:2])
