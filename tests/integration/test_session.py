"""A session as its owner uses it: streams that stop early, tails of several lengths, caches, usage."""

import gc
import json
import weakref

import pytest
import torch

from tests.integration.eager import Eager
from tests.integration.parity import BIASES, RULES, THREE, Spy, assert_generated, assert_parity, decode
from xmguard.backends.transformers import branch_reading, compact_context
from xmguard.backends.transformers.loader import load
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import Context, ContextSpan
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.errors import EngineError
from xmguard.request import Decoding, Prompt
from xmguard.span import Span
from xmguard.testing import make_model


@pytest.fixture
def prompt(tiny_backend):
    return tiny_backend.encode(THREE, Prompt.STANDARD)


@pytest.fixture
def session(tiny_backend, prompt):
    return Spy(tiny_backend.loaded, prompt, Stop())


def test_an_abandoned_stream_keeps_what_it_has_read(session, prompt, tiny_folder):
    eager = Eager(tiny_folder)
    first, second = (Branch(name, prompt.joint_tail, BIASES["several"], measured=True) for name in ("first", "second"))
    stream = session.decode([first], {"first": Decoding(max_tokens=30)})
    said = [next(stream).id for _ in range(7)]
    not_read_back = 0  # any token: a token that is handed out, and not the last, has been read back already
    assert_generated(session.generated(first), eager, prompt, first, [*said, not_read_back])
    said += [next(stream).id for _ in range(3)]
    decode(session, [second], steps=3)
    assert_generated(session.generated(first), eager, prompt, first, [*said, not_read_back])


def test_a_closed_session_frees_its_caches(session, prompt):
    branches = [Branch(name, prompt.joint_tail, BIASES["several"], measured=True) for name in ("joint", "other")]
    decode(session, branches[:1], steps=4)
    keys = weakref.ref(session._contexts.get(AttentionBias()))
    stream = session.decode(branches[1:], {"other": Decoding(max_tokens=9)})
    next(stream)
    stream.close()
    session.close()
    gc.collect()
    assert keys() is None


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_suppressed_token_is_never_said_and_counted_all_the_same(tmp_path, registry, temperature):
    make_model(tmp_path)
    settings = Decoding(max_tokens=12, temperature=temperature, seed=3)

    def said():
        backend = load(tmp_path, registry=registry)
        prompt = backend.encode(THREE, Prompt.STANDARD)
        branch = Branch("joint", prompt.joint_tail, AttentionBias())
        session = backend.open(prompt, Stop())
        tokens = list(session.decode([branch], {"joint": settings}))
        return tokens, session.score([(branch, (tokens[0].id,))])[0][0]

    free, _ = said()
    file = tmp_path / "generation_config.json"
    suppressed = sorted({token.id for token in free})
    file.write_text(json.dumps(json.loads(file.read_text()) | {"suppress_tokens": [*suppressed, 10**9]}))
    others, scored = said()
    assert len(others) == len(free) == 12
    assert {token.id for token in others}.isdisjoint(suppressed)
    assert others[0].logprob == pytest.approx(scored, abs=1e-4)


def test_padding_is_no_usage(session, prompt):
    branch = Branch("alone", prompt.alone_tail, BIASES["remove the first"])
    session.score([(branch, (7,)), (branch, (30, 31, 32, 33)), (branch, tuple(range(40, 59)))])
    assert session.usage().branch_tokens == len(prompt.alone_tail) + 0 + 3 + 18


def test_an_answer_without_tokens_has_no_direction(session, prompt):
    with pytest.raises(ValueError, match="no direction"):
        session.directed(Branch("joint", prompt.joint_tail, AttentionBias()), ())


@pytest.mark.parametrize("after", [1, 12])
def test_a_window_begins_to_hide_keys_while_decoding(tmp_path, registry, tiny_backend, prompt, after):
    """The prompt fits into the window, the answer does not: the way of reading changes in the middle of a block."""
    window = len(prompt.context_ids) + len(prompt.joint_tail) + after
    folder = make_model(tmp_path, family="Mistral", sliding_window=window)
    assert_parity(load(folder, registry=registry), Eager(folder), BIASES["several"])


def test_a_mask_that_would_be_too_large_is_not_made(tiny_backend, tiny_folder, monkeypatch):
    monkeypatch.setattr(branch_reading, "MASK_ELEMENTS", 10)
    assert_parity(tiny_backend, Eager(tiny_folder), BIASES["several"])


def test_bfloat16_is_steered(tmp_path, registry):
    """Logits under +2 and -2 nats stay near the float32 reference's, and far from those without the bias."""
    folder = make_model(tmp_path, num_hidden_layers=1)
    backend, eager = load(folder, registry=registry, dtype="bfloat16"), Eager(folder)
    prompt = backend.encode(THREE, Prompt.STANDARD)
    ids = [*prompt.context_ids, *prompt.joint_tail]
    for epsilon in (2.0, -2.0):
        bias = AttentionBias({"b": epsilon})
        session = Spy(backend.loaded, prompt, Stop())
        branch = Branch("joint", prompt.joint_tail, bias)
        said = [token.id for token in decode(session, [branch], steps=8)["joint"]]
        ours = torch.cat(session.logits).float()
        steps = eager.run([*ids, *said[:-1]], prompt.span_map, bias, len(ids), measure=False)
        plain = eager.run([*ids, *said[:-1]], prompt.span_map, AttentionBias(), len(ids), measure=False)
        want, without = (step.logits[len(ids) - 1 :] for step in (steps, plain))
        error, effect = (ours - want).abs().mean(), (want - without).abs().mean()
        assert effect > 0.1
        assert error < 0.2 * effect


def test_tails_of_different_lengths_are_prepared_together(tiny_backend, tiny_folder):
    """As a guard does: the joint tail measured, shorter ones beside it, and one measured tail that is shorter too."""
    eager = Eager(tiny_folder)
    prompt = tiny_backend.encode(THREE, Prompt.STANDARD)
    branches = [
        Branch("joint", prompt.joint_tail, BIASES["several"], measured=True),
        Branch("alone", prompt.joint_tail[:-9], BIASES["remove the first"]),
        Branch("short", prompt.joint_tail[:-5], RULES["target"], measured=True),
    ]
    session = Spy(tiny_backend.loaded, prompt, Stop())
    session.prepare(branches)
    assert len(session.logits) == 1
    assert session.usage().branch_tokens == sum(len(branch.tail) for branch in branches)
    tokens = decode(session, branches, steps=6)
    for branch in branches:
        ids = [*prompt.context_ids, *branch.tail]
        said = [token.id for token in tokens[branch.name]]
        want, _, _ = eager.answer(ids, said, prompt.span_map, branch.bias)
        assert len(said) == 6
        assert said == want, branch.name
        if branch.measured:
            rows = slice(prompt.span_map.context_tokens, len(ids))
            step = eager.run(ids, prompt.span_map, branch.bias, len(ids))
            norms = torch.tensor(session.measure(branch).norms, dtype=torch.float64)
            torch.testing.assert_close(norms, step.norms[..., rows].mean(-1), rtol=1e-4, atol=1e-6)


def many(count):
    names = "abcdefgh"[:count]
    spans = tuple(
        ContextSpan(Span(name, f"Sign {name} says {index}{index + 3}. " * 3), "text", "en")
        for index, name in enumerate(names)
    )
    return Context(spans, "What does the sign say?")


def test_branches_that_see_little_of_a_context_equal_the_reference(tiny_backend, tiny_folder, monkeypatch):
    """Eight spans, each read alone, some with a bias of their own, one branch that sees none, and the joint one."""
    monkeypatch.setattr(compact_context, "SMALLEST", 0)
    eager = Eager(tiny_folder)
    prompt = tiny_backend.encode(many(8), Prompt.STANDARD)
    ids = prompt.span_map.ids
    removed = {span: AttentionBias({other: REMOVE for other in ids if other != span}) for span in ids}
    branches = [Branch(f"alone {span}", prompt.alone_tail, bias) for span, bias in removed.items()]
    lifted = AttentionBias({**removed["c"].epsilon, "c": 1.5})
    branches.append(Branch("lifted", prompt.joint_tail, lifted, measured=True))
    branches.append(Branch("unread", prompt.alone_tail, AttentionBias(dict.fromkeys(ids, REMOVE))))
    branches.append(Branch("joint", prompt.joint_tail, AttentionBias({"b": 1.0}), measured=True))
    session = Spy(tiny_backend.loaded, prompt, Stop())
    session.prepare(branches)
    assert len(session.logits) == 2  # those that see little, and the joint one
    tokens = decode(session, branches, steps=8)
    scores = session.score([(branch, (30, 31, 32, 33)) for branch in branches])
    for branch, scored in zip(branches, scores, strict=True):
        start = [*prompt.context_ids, *branch.tail]
        said = [token.id for token in tokens[branch.name]]
        want, logits, _ = eager.answer(start, said, prompt.span_map, branch.bias)
        assert len(said) == 8
        assert said == want, branch.name
        got = [token.logprob for token in tokens[branch.name]]
        assert got == pytest.approx(torch.log_softmax(logits, -1).max(-1).values.tolist(), abs=1e-4), branch.name
        step = eager.run([*start, 30, 31, 32, 33], prompt.span_map, branch.bias, len(start), measure=False)
        logprobs = torch.log_softmax(step.logits, -1)
        wanted = [float(logprobs[len(start) - 1 + index, token]) for index, token in enumerate((30, 31, 32, 33))]
        assert scored == pytest.approx(wanted, abs=1e-4), branch.name
        if branch.measured:
            assert_generated(session.generated(branch), eager, prompt, branch, want)


def test_what_is_removed_is_not_read(tiny_backend, monkeypatch):
    """Few keys are handed to the kernel where most are removed; all of them where little is."""
    monkeypatch.setattr(compact_context, "SMALLEST", 0)
    seen = []
    real = branch_reading.flash
    monkeypatch.setattr(
        branch_reading,
        "flash",
        lambda query, key, *rest, **options: seen.append(key.shape[2]) or real(query, key, *rest, **options),
    )
    prompt = tiny_backend.encode(many(8), Prompt.STANDARD)
    session = Spy(tiny_backend.loaded, prompt, Stop())
    alone = AttentionBias(dict.fromkeys(prompt.span_map.ids[1:], REMOVE))
    session.prepare([Branch("alone", prompt.alone_tail, alone)])
    rest = prompt.span_map.context_tokens - sum(len(span) for span in prompt.span_map)
    assert seen[0] == rest + len(prompt.span_map.spans[0])
    seen.clear()
    session.prepare([Branch("joint", prompt.joint_tail, AttentionBias({"a": REMOVE}))])
    assert seen[0] == prompt.span_map.context_tokens


@pytest.mark.parametrize(
    ("place", "value"),
    [("lm_head", torch.nan), ("model.layers.1.self_attn.v_proj", torch.inf)],
    ids=["nan", "infinite"],
)
def test_a_model_that_computes_no_numbers_says_nothing(tmp_path, registry, place, value):
    """Its likeliest token would be any, at an entropy of 0, and no span would seem to have contributed."""
    backend = load(make_model(tmp_path), registry=registry)
    backend.loaded.model.get_submodule(place).weight[5, 0] = value
    with pytest.raises(EngineError, match="no finite logits in float32: its weights are damaged"):
        backend.open(backend.encode(THREE, Prompt.STANDARD), Stop())
