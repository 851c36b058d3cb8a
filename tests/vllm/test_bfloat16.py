"""The embedded model in bfloat16, in vLLM and in transformers: steered and measured as exactly as its numbers allow.

How exactly that is, the model itself says: transformers' own eager attention in bfloat16, under the same mask and on
the same tokens, is off from the float32 reference by what rounding makes. An engine of ours may be off by `FACTOR`
times that. Both are root mean squares, of nats or relative, over dozens of tokens or hundreds of heads.
"""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from tests.integration.eager import Eager
from tests.integration.parity import THREE, assert_epsilon, decode
from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.request import Prompt, Scope

pytestmark = pytest.mark.model

STEPS = 32
FACTOR, TOGETHER = 4.0, 2.0
"""Of one kind of bias, and of all together. Rounding at other places is another sample of the same noise, and a few
unsure tokens make most of it, so that of one kind it varies."""
KINDS = {
    "none": AttentionBias(),
    "lift": AttentionBias({"b": 2.0}),
    "remove": AttentionBias({"a": REMOVE}),
    "lift, generated rows": AttentionBias({"b": 2.0}, Scope.GENERATED),
    "lift and remove, every later row": AttentionBias({"a": REMOVE, "b": 2.0}, Scope.ALL),
}
STEERED = [kind for kind in KINDS if kind != "none"]


@dataclass
class Said:
    """What a branch said, and everything that was told of it."""

    ids: list[int]
    told: dict[str, torch.Tensor]
    """Quantities by name."""
    measured: list
    """Over the tail, and over generated rows."""


@pytest.fixture(scope="module")
def references(smollm2_folder):
    """Eager attention in float32 and in bfloat16."""
    return Eager(smollm2_folder), Eager(smollm2_folder, torch.bfloat16)


@pytest.fixture(scope="module", params=["vllm", "transformers"])
def engine(request, smollm2_folder, registry, in_processes):
    if request.param == "vllm":
        from xmguard.backends.vllm.loader import load

        options = {"options": {"kv_cache_memory_bytes": 256 << 20}}
    else:
        from xmguard.backends.transformers.loader import load

        options = {}
    backend = load(smollm2_folder, registry=registry, dtype="bfloat16", **options)
    yield backend
    if request.param == "vllm":
        backend.close()


@pytest.fixture(scope="module")
def said(engine):
    """Every kind of bias in one batch."""
    prompt = engine.encode(THREE, Prompt.STANDARD)
    tail = engine.tail("Tell a long story about the sign, the people who read it, and what each of them believed.")
    session = engine.open(prompt, Stop())
    branches = [Branch(kind, tail, bias, measured=True) for kind, bias in KINDS.items()]
    tokens = decode(session, branches, STEPS)
    found = {}
    for branch in branches:
        own, measured = tokens[branch.name], [session.measure(branch), session.generated(branch)]
        assert len(own) == STEPS, "an answer that ends early says little of rounding"
        told = {
            "log-probabilities": torch.tensor([token.logprob for token in own]),
            "entropies": torch.tensor([token.entropy for token in own]),
        }
        for rows, one in zip(("tail", "generated"), measured, strict=True):
            told |= {f"{name}, {rows}": torch.tensor(getattr(one, name)).double() for name in ("norms", "masses")}
        found[branch.name] = Said([token.id for token in own], told, measured)
    session.close()
    return replace(prompt, joint_tail=tail), found


def told_by(eager, prompt, ids, bias):
    """The same quantities by a reference, of the tokens that were said, and the logits of each."""
    tail = [*prompt.context_ids, *prompt.joint_tail]
    _, logits, step = eager.answer(tail, ids, prompt.span_map, bias, measure=True)
    logits = logits.double()
    told = {
        "log-probabilities": torch.log_softmax(logits, -1)[range(len(ids)), ids],
        "entropies": torch.distributions.Categorical(logits=logits).entropy(),
    }
    parts = {"tail": slice(len(prompt.context_ids), len(tail)), "generated": slice(len(tail), len(tail) + len(ids) - 1)}
    for name, rows in parts.items():
        told |= {f"norms, {name}": step.norms[..., rows].mean(-1), f"masses, {name}": step.masses[..., rows].mean(-1)}
    return told, logits


def errors(found, wanted):
    """Root mean squares of what differs, relative where the quantity is no logarithm already."""
    off = {}
    for name, value in wanted.items():
        of = 1.0 if value.ndim == 1 else value.square().mean().sqrt()
        off[name] = float((found[name].double() - value).square().mean().sqrt() / of)
    return off


@pytest.fixture(scope="module")
def off(said, references):
    """By kind: how far the engine is from the float32 reference, and how far eager attention in bfloat16."""
    prompt, found = said
    by_kind = {}
    for kind, bias in KINDS.items():
        (wanted, logits), (rounded, others) = (told_by(eager, prompt, found[kind].ids, bias) for eager in references)
        # What is said is what is likeliest, or so near to it that rounding decides.
        behind = logits.max(-1).values - logits[range(STEPS), found[kind].ids]
        assert behind.max() <= 2 * (others - logits).abs().max(), kind
        by_kind[kind] = errors(found[kind].told, wanted), errors(rounded, wanted)
    return by_kind


@pytest.mark.parametrize("kind", KINDS)
def test_of_each_bias_an_engine_is_off_by_little_more_than_bfloat16_itself(off, said, kind):
    ours, stock = off[kind]
    assert {name: (error, stock[name]) for name, error in ours.items() if error > FACTOR * stock[name]} == {}
    for measured, generated in zip(said[1][kind].measured, (False, True), strict=True):
        assert_epsilon(measured, KINDS[kind], generated_rows=generated)
        if KINDS[kind].epsilon.get("a") == REMOVE:
            assert measured.attention["a"] == 0.0


def test_of_all_together_it_is_off_by_less(off):
    def together(which):
        every = [each[which] for each in off.values()]
        return {name: math.sqrt(sum(each[name] ** 2 for each in every) / len(every)) for name in every[0]}

    ours, stock = together(0), together(1)
    assert {name: (error, stock[name]) for name, error in ours.items() if error > TOGETHER * stock[name]} == {}


@pytest.mark.parametrize("kind", STEERED)
def test_without_the_bias_it_would_be_off_by_far_more(off, said, references, kind):
    prompt, found = said
    wanted, _ = told_by(references[0], prompt, found["none"].ids, KINDS[kind])
    ours, stock = errors(found["none"].told, wanted), off[kind][1]
    read = [name for name in ours if not (kind == "lift, generated rows" and name.endswith("tail"))]
    assert {name: (ours[name], stock[name]) for name in read if ours[name] < 1.5 * FACTOR * stock[name]} == {}
