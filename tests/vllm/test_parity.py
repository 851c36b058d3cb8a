"""A tiny Llama in vLLM reads as eager attention under an additive mask does, request by request of a mixed batch."""

import pytest
import torch

from tests.integration.eager import Eager
from tests.integration.parity import BIASES, RULES
from tests.vllm.engine import PROMPT, SPANS, Asked, Engine
from tests.vllm.parity import assert_parity
from xmguard.testing.tiny import make_model

KINDS = BIASES | RULES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("llama"), head_dim=32)


@pytest.fixture(scope="module")
def eager(folder):
    return Eager(folder, torch.float64)


@pytest.fixture(scope="module")
def engine(folder):
    engine = Engine(folder)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def batch(engine):
    """All kinds of bias at once, and requests without a reading among them."""
    plain = Asked(PROMPT)
    asked = [Asked(PROMPT, SPANS, bias) for bias in KINDS.values()]
    reads = engine.read(plain, *asked, plain)
    return {"plain": reads[0], **dict(zip(KINDS, reads[1:-1], strict=True)), "plain again": reads[-1]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_reads_with_its_own_bias_and_is_measured(batch, eager, kind):
    assert_parity(eager, Asked(PROMPT, SPANS, KINDS[kind]), batch[kind])


def test_requests_without_a_reading_are_left_alone_by_their_neighbours(batch, eager):
    want, _, _ = eager.answer(PROMPT, batch["plain"].tokens, SPANS, BIASES["none"])
    assert batch["plain"].tokens == batch["plain again"].tokens == want
    assert batch["plain"].told == batch["plain again"].told == []


def test_biases_change_what_is_said(batch):
    changed = [kind for kind in KINDS if batch[kind].tokens != batch["plain"].tokens]
    assert len(changed) >= len(KINDS) - 2


def test_nothing_is_held_of_requests_that_have_ended(batch, engine):
    assert batch
    assert engine.known == 0
