"""Two ranks share every layer: each reads and measures its own heads, and together they say what eager attention says.

The tiny Llama has six heads on two key heads, so each rank has three heads on one. Everything runs in the processes
that are served from; adapters are cut like the layers they act on.
"""

from dataclasses import replace

import pytest
import torch

from tests.integration.eager import Eager
from tests.integration.parity import BIASES, HEADS, RULES, THREE, assert_epsilon, decode
from tests.vllm.adapters import AdaptedEager, Lora
from xmguard.backends.folder import weights_hash
from xmguard.backends.vllm.loader import load
from xmguard.bias import AttentionBias
from xmguard.calibration import ProbeSource
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.models.checkpoint import ActsOn, AdapterSource
from xmguard.request import Decoding, Prompt, Scope
from xmguard.testing import make_model

STEPS = 16
EVERYWHERE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Heads of one layer that are on different ranks, each steered another way.
ACROSS = AttentionBias({"b": 3.0}, heads=((0.0, 0.0, 1.0, 0.5, 0.0, 0.0), HEADS[1], (1.0, 0.0, 0.0, 0.0, 0.0, 1.0)))
KINDS = BIASES | RULES | {"by head, on both ranks": ACROSS}
ADAPTED = {f"{kind}, adapted": KINDS[kind] for kind in ("none", "lift the second", "target")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("llama"), head_dim=32)


@pytest.fixture(scope="module")
def eager(folder):
    return Eager(folder, torch.float64)


@pytest.fixture(scope="module")
def answering(folder, eager, tmp_path_factory):
    return Lora(tmp_path_factory.mktemp("adapters") / "answer", eager.model, EVERYWHERE, 3)


@pytest.fixture(scope="module")
def probing(folder, eager, tmp_path_factory):
    return Lora(tmp_path_factory.mktemp("adapters") / "probe", eager.model, EVERYWHERE, 2, classes=3)


@pytest.fixture(scope="module")
def backend(folder, answering, probing, registry, in_processes):
    answer, probe = answering.asked, probing.asked
    backend = load(
        folder,
        registry=registry,
        adapters=[AdapterSource(answering.folder, answer["sha256"], weights_hash(folder), ActsOn.ANSWER)],
        probe=ProbeSource(probing.folder, probe["sha256"], probe["layers"], "Do they agree on {question}?"),
        options={"tensor_parallel_size": 2, "kv_cache_memory_bytes": 64 << 20},
    )
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def prompt(backend):
    return backend.encode(THREE, Prompt.STANDARD)


@pytest.fixture(scope="module")
def session(backend, prompt):
    session = backend.open(prompt, Stop())
    yield session
    session.close()


@pytest.fixture(scope="module")
def read(session, prompt):
    """Every kind of bias in one batch, with and without the adapter: what each branch said."""
    plain = [Branch(kind, prompt.joint_tail, bias, measured=True) for kind, bias in KINDS.items()]
    adapted = [Branch(kind, prompt.joint_tail, bias, measured=True, answers=True) for kind, bias in ADAPTED.items()]
    branches = [*plain, *adapted]
    said = decode(session, branches, STEPS)
    return {branch.name: (branch, said[branch.name]) for branch in branches}


def assert_read(session, eager, prompt, branch, tokens):
    """Tokens, probabilities, and the numbers of every head equal the reference's."""
    ids, said = [*prompt.context_ids, *branch.tail], [token.id for token in tokens]
    want, logits, step = eager.answer(ids, said, prompt.span_map, branch.bias, measure=True)
    assert said == want
    chosen = torch.log_softmax(logits, -1)[range(STEPS), want]
    assert [token.logprob for token in tokens] == pytest.approx(chosen.tolist(), abs=1e-4)
    entropies = torch.distributions.Categorical(logits=logits).entropy()
    assert [token.entropy for token in tokens] == pytest.approx(entropies.tolist(), abs=1e-4)
    tail, generated = slice(len(prompt.context_ids), len(ids)), slice(len(ids), len(ids) + STEPS - 1)
    for measured, rows in ((session.measure(branch), tail), (session.generated(branch), generated)):
        assert measured.rows == rows.stop - rows.start
        assert_epsilon(measured, branch.bias, generated_rows=rows is generated)
        for found, wanted in ((measured.norms, step.norms), (measured.masses, step.masses)):
            means = torch.tensor(found, dtype=torch.float64)
            torch.testing.assert_close(means, wanted[..., rows].mean(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_read_with_a_bias_and_measure_every_head(session, eager, prompt, read, kind):
    assert_read(session, eager, prompt, *read[kind])


@pytest.mark.parametrize("kind", ADAPTED)
def test_an_adapter_is_cut_like_the_layers_it_acts_on(session, folder, prompt, read, answering, kind):
    branch, tokens = read[kind]
    assert_read(session, AdaptedEager(folder, answering), prompt, branch, tokens)
    assert [token.id for token in tokens] != [token.id for token in read["none"][1]]


def test_the_probe_says_what_it_says_on_one_rank(session, folder, prompt, probing):
    reference = AdaptedEager(folder, probing)
    ids = [*prompt.context_ids, *prompt.joint_tail]
    branches = [Branch(f"probe {kind}", prompt.joint_tail, bias) for kind, bias in ADAPTED.items()]
    for branch, logits in zip(branches, session.probe(branches), strict=True):
        wanted = reference.probe(ids, prompt.span_map, branch.bias)
        assert logits == pytest.approx(wanted, abs=2e-5), branch.name


def test_scores_are_of_the_whole_vocabulary_and_told_once(session, eager, folder, prompt, answering):
    """Each rank has half of the output layer; the bias that reads generated tokens alone is scored by forced ones."""
    continuations = ((30, 31, 32), (30, 31, 200), (7,))
    lift = KINDS["lift the second"]
    branches = [
        (Branch("scored", prompt.joint_tail, lift), eager),
        (Branch("scored generated", prompt.joint_tail, replace(lift, scope=Scope.GENERATED)), eager),
        (Branch("scored adapted", prompt.joint_tail, lift, answers=True), AdaptedEager(folder, answering)),
    ]
    asked = [(branch, ids, reference) for branch, reference in branches for ids in continuations]
    scores = session.score([(branch, ids) for branch, ids, _ in asked])
    for (branch, ids, reference), found in zip(asked, scores, strict=True):
        start = [*prompt.context_ids, *branch.tail]
        _, logits, _ = reference.answer(start, list(ids), prompt.span_map, branch.bias)
        wanted = torch.log_softmax(logits, -1)[range(len(ids)), list(ids)].tolist()
        assert found == pytest.approx(wanted, abs=1e-4), branch.name


def test_what_is_asked_amid_a_stream_is_of_the_same_rows_on_both_ranks(backend, prompt):
    session = backend.open(prompt, Stop())
    branch = Branch("midway", prompt.joint_tail, BIASES["lift the second"], measured=True)
    tokens = session.decode([branch], {"midway": Decoding(max_tokens=40)})
    for _ in range(4):
        next(tokens)
    midway = session.generated(branch)
    assert 3 <= midway.rows <= 40
    assert len(midway.norms[0]) == 6
    list(tokens)
    assert session.generated(branch).rows == 39
    session.close()


def test_a_reading_that_cannot_be_had_is_an_error_on_both_ranks_and_stops_neither(backend, eager, prompt):
    from xmguard.errors import EngineError

    session = backend.open(prompt, Stop())
    bad = Branch("bad", prompt.joint_tail, replace(ACROSS, heads=((1.0,) * 3,) * 3), measured=True)
    good = Branch("good", prompt.joint_tail, BIASES["several"], measured=True)
    with pytest.raises(EngineError, match="head factors are for"):
        decode(session, [bad], STEPS)
    assert_read(session, eager, prompt, good, decode(session, [good], STEPS)["good"])
    session.close()


def test_both_ranks_forget_what_has_ended(backend, session, read):
    session.close()
    assert set(backend.loaded.engine.call("xmguard_known")) == {0}
