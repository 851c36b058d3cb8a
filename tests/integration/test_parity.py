"""The transformers engine against transformers' own eager attention under a 4-D mask, float32."""

import math

import pytest
import torch

from tests.integration.eager import Eager
from tests.integration.parity import (
    BIASES,
    RULES,
    STEPS,
    THREE,
    Spy,
    assert_generated,
    assert_parity,
    context,
    decode,
    tokens_that_a_bias_changes,
)
from xmguard.backends.transformers import prefill, recording
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.sampling import Speaker
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.request import Decoding, Prompt
from xmguard.testing import make_model

FAMILY_MEMBERS = {
    "grouped queries": {},
    "one key head": {"num_key_value_heads": 1},
    "no grouping": {"num_key_value_heads": 6},
    "biases, o_proj's too": {"attention_bias": True, "mlp_bias": True},
    "llama 3 rope": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        }
    },
}


@pytest.fixture(scope="module", params=FAMILY_MEMBERS.values(), ids=FAMILY_MEMBERS.keys())
def pair(request, tmp_path_factory, registry):
    """The engine under test and the reference, with the same weights."""
    folder = make_model(tmp_path_factory.mktemp("model"), **request.param)
    return load(folder, registry=registry), Eager(folder)


@pytest.mark.parametrize("bias", (BIASES | RULES).values(), ids=(BIASES | RULES).keys())
def test_tokens_logits_and_contributions_equal_the_reference(pair, bias):
    assert_parity(*pair, bias)


def test_the_reference_can_fail(pair):
    """A bias of 2 nats changes at least 8 of 32 tokens, so an engine that dropped it could not pass the parity test."""
    assert tokens_that_a_bias_changes(*pair) >= 8


def test_an_engine_that_drops_the_bias_fails_the_parity_test(pair, monkeypatch):
    monkeypatch.setattr(TransformersSession, "_steering", lambda self, branches, generated: None)
    with pytest.raises(AssertionError):
        assert_parity(*pair, BIASES["lift the second"])


def test_branches_decoded_together_equal_branches_decoded_alone(tiny_backend, tiny_folder, monkeypatch):
    """One batch of different biases, tails of different lengths, and different contexts (scope ALL)."""
    eager = Eager(tiny_folder)
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    tails = [prompt.joint_tail, prompt.alone_tail]
    branches = [
        Branch(f"{name} {index}", tail, bias, measured=index == 0)
        for name, bias in BIASES.items()
        for index, tail in enumerate(tails)
    ]
    monkeypatch.setattr(recording, "BLOCK", 5)  # several blocks, and branches that end in the middle of one
    session = TransformersSession(tiny_backend.loaded, prompt, Stop())
    lengths = {branch.name: 3 + 2 * index for index, branch in enumerate(branches)}
    got = {branch.name: [] for branch in branches}
    for token in session.decode(branches, {name: Decoding(max_tokens=n) for name, n in lengths.items()}):
        got[token.branch].append(token.id)
    for branch in branches:
        ids = [*prompt.context_ids, *branch.tail]
        want, _, _ = eager.answer(ids, got[branch.name], prompt.span_map, branch.bias)
        assert len(got[branch.name]) == lengths[branch.name], branch.name
        assert got[branch.name] == want, branch.name
        if branch.measured:
            assert_generated(session.generated(branch), eager, prompt, branch, want)


def test_a_prefill_in_chunks_equals_a_prefill_at_once(tiny_backend, tiny_folder, monkeypatch):
    eager = Eager(tiny_folder)
    monkeypatch.setattr(prefill, "PREFILL_CHUNK", 7)
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    for bias in (BIASES["several"], BIASES["lift the first, every later row"]):
        session = TransformersSession(tiny_backend.loaded, prompt, Stop())
        tokens = decode(session, [Branch("joint", prompt.joint_tail, bias)])["joint"]
        said = [token.id for token in tokens]
        want, _, _ = eager.answer([*prompt.context_ids, *prompt.joint_tail], said, prompt.span_map, bias)
        assert len(said) == STEPS
        assert said == want


def test_scores_equal_the_reference_also_after_decoding(tiny_backend, tiny_folder):
    eager = Eager(tiny_folder)
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    session = TransformersSession(tiny_backend.loaded, prompt, Stop())
    branches = [Branch(name, prompt.alone_tail, bias) for name, bias in (BIASES | RULES).items()]
    branches.append(Branch("other tail", prompt.joint_tail, BIASES["several"]))
    decode(session, branches, steps=5)
    answers = [(7,), (30, 31, 32, 33), tuple(range(40, 59))]
    pairs = [(branch, answer) for branch in branches for answer in answers]
    for (branch, answer), scores in zip(pairs, session.score(pairs), strict=True):
        ids = [*prompt.context_ids, *branch.tail]
        step = eager.run([*ids, *answer], prompt.span_map, branch.bias, len(ids), measure=False)
        logprobs = torch.log_softmax(step.logits, -1)
        want = [float(logprobs[len(ids) - 1 + index, token]) for index, token in enumerate(answer)]
        assert scores == pytest.approx(want, abs=1e-4), branch.name


def test_a_span_read_alone_is_the_others_removed_at_read_time(tiny_backend):
    """Its mass is that of the rest and itself only."""
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    session = TransformersSession(tiny_backend.loaded, prompt, Stop())
    branch = Branch("alone", prompt.alone_tail, AttentionBias({"a": REMOVE, "c": REMOVE}), measured=True)
    measured = session.measure(branch)
    assert measured.attention["a"] == measured.attention["c"] == 0.0
    assert measured.contributions["a"] == 0.0
    assert measured.attention["b"] > 0.0


def test_measuring_writes_nothing(tiny_backend):
    """Bias 0, measured or not, gives bit for bit the same logits."""
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    runs = []
    for bias, measured in ((AttentionBias(), False), (AttentionBias({"a": 0.0}), True)):
        session = Spy(tiny_backend.loaded, prompt, Stop())
        decode(session, [Branch("joint", prompt.joint_tail, bias, measured=measured)], steps=6)
        runs.append(torch.cat(session.logits))
    assert torch.equal(*runs)


def test_bfloat16_follows_the_float32_reference(tiny_folder, registry):
    backend = load(tiny_folder, registry=registry, dtype="bfloat16")
    eager = Eager(tiny_folder)
    prompt = backend.encode(THREE, Prompt.STANDARD)
    for bias in (BIASES["none"], BIASES["lift the second"]):
        session = Spy(backend.loaded, prompt, Stop())
        branch = Branch("joint", prompt.joint_tail, bias, measured=True)
        measured = session.measure(branch)
        ids = [*prompt.context_ids, *prompt.joint_tail]
        step = eager.run(ids, prompt.span_map, bias, len(ids))
        want = step.norms[..., prompt.span_map.context_tokens :].mean(dim=(0, 1, 3))
        got = [measured.rest, *measured.contributions.values()]
        assert got == pytest.approx(want.tolist(), rel=0.03)


def test_sampling_is_repeatable_by_seed_and_independent_of_the_batch(tiny_backend):
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)

    def sample(seed, company=()):
        session = TransformersSession(tiny_backend.loaded, prompt, Stop())
        branch = Branch("joint", prompt.joint_tail, AttentionBias())
        settings = {"joint": Decoding(12, 1.5, seed)} | {other.name: Decoding(4) for other in company}
        return [t.id for t in session.decode([branch, *company], settings) if t.branch == "joint"]

    assert sample(3) == sample(3)
    assert sample(3) != sample(4)
    assert sample(3) == sample(3, [Branch("alone", prompt.alone_tail, BIASES["remove the first"])])


def test_a_single_line_ends_at_the_first_break_after_a_word(tiny_backend, monkeypatch):
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    script = iter(tiny_backend.loaded.tokenizer("\n A\nB", add_special_tokens=False)["input_ids"])
    session = TransformersSession(tiny_backend.loaded, prompt, Stop())
    monkeypatch.setattr(Speaker, "_sample", lambda self, logits: next(script))
    branch = Branch("alone", prompt.alone_tail, AttentionBias(), single_line=True)
    tokens = list(session.decode([branch], {"alone": Decoding(max_tokens=9)}))
    assert tiny_backend.text([token.id for token in tokens if not token.is_end]) == "\n A"
    assert [token.last for token in tokens] == [False, False, False, True]


def test_a_token_that_says_something_before_the_break_is_kept(tiny_backend, monkeypatch):
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    words = {0: "25", 1: "%\n"}
    monkeypatch.setattr(type(tiny_backend.loaded), "text", lambda self, ids: "".join(words[token] for token in ids))
    script = iter([0, 1])
    session = TransformersSession(tiny_backend.loaded, prompt, Stop())
    monkeypatch.setattr(Speaker, "_sample", lambda self, logits: next(script))
    branch = Branch("alone", prompt.alone_tail, AttentionBias(), single_line=True)
    tokens = list(session.decode([branch], {"alone": Decoding(max_tokens=9)}))
    assert [(token.id, token.is_end, token.last) for token in tokens] == [(0, False, False), (1, False, True)]


def test_two_branches_of_one_name_are_refused(tiny_backend):
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    session = TransformersSession(tiny_backend.loaded, prompt, Stop())
    session.measure(Branch("joint", prompt.joint_tail, AttentionBias(), measured=True))
    with pytest.raises(ValueError, match="two branches of one session are named 'joint'"):
        session.measure(Branch("joint", prompt.joint_tail, BIASES["several"], measured=True))


def test_a_pass_that_does_not_reach_xmguards_attention_is_an_error(tiny_backend, monkeypatch):
    """Silent absence of the bias is the one thing that must not happen."""
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    monkeypatch.setattr(tiny_backend.loaded.model.config, "_attn_implementation", "sdpa")
    with pytest.raises(RuntimeError, match="did not read through xmguard's attention"):
        TransformersSession(tiny_backend.loaded, prompt, Stop())


def test_a_forward_pass_without_a_reading_is_an_error(tiny_backend):
    with pytest.raises(RuntimeError, match="must carry a Reading"):
        tiny_backend.loaded.model(input_ids=torch.tensor([[1, 2, 3]]))


@pytest.fixture(scope="module")
def embedded(smollm2_folder, registry):
    return load(smollm2_folder, registry=registry), Eager(smollm2_folder)


@pytest.mark.model
@pytest.mark.parametrize("epsilon", [0.0, 1.0, -math.inf])
def test_the_embedded_model_equals_the_reference(embedded, epsilon):
    backend, eager = embedded
    prompt = backend.encode(
        context(
            "Field trials of the new seed raised the harvest by about 25%, the institute said.",
            "The new seed raised the harvest by only 15% in field trials, a farmers' union reported.",
        ),
        Prompt.STANDARD,
    )
    bias = AttentionBias({"a": epsilon})
    session = Spy(backend.loaded, prompt, Stop())
    branch = Branch("joint", prompt.joint_tail, bias, measured=True)
    said = [token.id for token in decode(session, [branch], steps=16)["joint"]]
    ids = [*prompt.context_ids, *prompt.joint_tail]
    want, want_logits, step = eager.answer(ids, said, prompt.span_map, bias, measure=True)
    assert said == want
    torch.testing.assert_close(torch.cat(session.logits[-len(said) :]), want_logits, rtol=0, atol=1e-4)
    norms = torch.tensor(session.measure(branch).norms, dtype=torch.float64)
    reference = step.norms[..., prompt.span_map.context_tokens : len(ids)].mean(-1)
    torch.testing.assert_close(norms, reference, rtol=1e-4, atol=1e-6)
