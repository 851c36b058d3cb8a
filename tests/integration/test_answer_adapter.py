"""The answer adapter against a pass that adapts the rows after the context, and all that it must leave as it was."""

import hashlib
from dataclasses import replace

import pytest
import torch

from tests.integration.adapters import Adapted, AdaptedEager, save_adapter
from tests.integration.eager import Eager
from tests.integration.families import FAMILIES
from tests.integration.parity import BIASES, HEADS, RULES, THREE, assert_parity, decode
from tests.integration.test_directed import ANSWER
from tests.integration.test_directed import reference as direct_path
from tests.integration.test_together import REQUESTS
from xmguard.backends import low_rank
from xmguard.backends.transformers import few_rows
from xmguard.backends.transformers.answer_adapter import AnswerAdapter
from xmguard.backends.transformers.families.layout import output_projections
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.probe import load_probe
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.guard import Guard
from xmguard.request import Prompt, Scope
from xmguard.testing import make_model

# PEFT asks transformers for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

STEPS = 8
KINDS = {
    name: (BIASES | RULES)[name]
    for name in ("none", "lift the second", "remove the first", "lift the first, every later row", "target")
} | {"by head": AttentionBias({"a": REMOVE, "b": 3.0}, heads=HEADS)}


def answering(backend, folder):
    """The backend with an answer adapter, as its loader would put it together."""
    loaded = backend.loaded
    digest = hashlib.sha256((folder / low_rank.WEIGHTS).read_bytes()).hexdigest()
    files = low_rank.read(folder, digest, "a test")
    updates = files.fit(dict(loaded.model.named_modules()), next(loaded.model.parameters()))
    adapter = AnswerAdapter.fitted(updates, output_projections(loaded.model), loaded.heads)
    return replace(backend, loaded=replace(loaded, adapter=adapter))


@pytest.fixture(scope="module")
def folder(tiny_folder, tmp_path_factory):
    return save_adapter(tiny_folder, tmp_path_factory.mktemp("answers"))


@pytest.fixture(scope="module")
def reference(tiny_folder, folder):
    return AdaptedEager(tiny_folder, folder)


@pytest.fixture(scope="module")
def backend(tiny_backend, folder):
    return answering(tiny_backend, folder)


def branches(prompt):
    """What a guard decodes together: the joint answer steered and not, and every span alone."""
    ids = prompt.span_map.ids
    return [
        Branch("joint", prompt.joint_tail, AttentionBias({"b": 1.0}), measured=True, answers=True),
        *(Branch(span, prompt.alone_tail, AttentionBias(dict.fromkeys({*ids} - {span}, REMOVE))) for span in ids),
        Branch("unbiased", prompt.joint_tail, AttentionBias(), measured=True, answers=True),
        Branch("bystander", prompt.joint_tail, AttentionBias(), measured=True),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_joint_answer_and_its_contributions_are_those_of_rows_adapted_after_the_context(backend, reference, kind):
    assert_parity(backend, reference, KINDS[kind], steps=STEPS)


def test_the_reference_is_another_model_than_the_base(tiny_backend, reference):
    with pytest.raises(AssertionError):
        assert_parity(tiny_backend, reference, AttentionBias(), steps=STEPS)


def test_linear_layers_with_biases_are_adapted_as_exactly(tmp_path, registry):
    member = FAMILIES["Qwen2"]
    model = make_model(tmp_path / "model", family="Qwen2", seed=member.seed, **member.config)
    saved = save_adapter(model, tmp_path / "adapter", strength=0.3)
    adapted = answering(load(model, registry=registry), saved)
    assert_parity(adapted, AdaptedEager(model, saved), AttentionBias({"b": 2.0}), steps=STEPS)


def test_in_one_batch_the_joint_answer_alone_is_adapted(backend, tiny_backend, tiny_folder, reference):
    prompt = backend.encode(THREE, Prompt.STANDARD)
    asked = branches(prompt)
    session = TransformersSession(backend.loaded, prompt, Stop())
    found = decode(session, asked, STEPS)
    plain = TransformersSession(tiny_backend.loaded, prompt, Stop())
    base = decode(plain, asked, STEPS)
    for branch in asked:
        if branch.answers:
            continue
        assert found[branch.name] == base[branch.name], branch.name  # bit for bit
        for pair in ((40, 41, 70), (90,)):
            assert session.score([(branch, pair)]) == plain.score([(branch, pair)])
    untouched = Eager(tiny_folder)
    for branch in asked:
        if not branch.measured:
            continue
        eager = reference if branch.answers else untouched
        said = [token.id for token in found[branch.name]]
        ids = [*prompt.context_ids, *branch.tail]
        want, logits, step = eager.answer(ids, said, prompt.span_map, branch.bias, measure=True)
        assert said == want, branch.name
        logprobs = torch.log_softmax(logits, -1)[torch.arange(STEPS), torch.tensor(want)]
        assert [token.logprob for token in found[branch.name]] == pytest.approx(logprobs.tolist(), abs=1e-4)
        tail = slice(len(prompt.context_ids), len(ids))
        for measured, rows in ((session.measure(branch), tail), (session.generated(branch), slice(len(ids), -1))):
            norms = torch.tensor(measured.norms, dtype=torch.float64)
            torch.testing.assert_close(norms, step.norms[..., rows].mean(-1), rtol=1e-4, atol=1e-6)
    assert found["unbiased"] != base["unbiased"]
    assert found["unbiased"] != found["bystander"]


def test_what_is_scored_after_the_joint_answers_tail_is_adapted(backend, reference):
    prompt = backend.encode(THREE, Prompt.STANDARD)
    joint, said = branches(prompt)[0], (40, 41, 70)
    ((*scored,),) = TransformersSession(backend.loaded, prompt, Stop()).score([(joint, said)])
    ids = [*prompt.context_ids, *prompt.joint_tail]
    step = reference.run([*ids, *said], prompt.span_map, joint.bias, len(ids), measure=False)
    logprobs = torch.log_softmax(step.logits, -1)[len(ids) - 1 : -1]
    assert scored == pytest.approx(logprobs[torch.arange(3), torch.tensor(said)].tolist(), abs=1e-4)


@pytest.mark.parametrize("kind", ["none", "generated rows only"])
def test_directions_toward_the_answer_go_through_the_adapted_layers(backend, reference, kind):
    bias = BIASES[kind]
    prompt = backend.encode(THREE, Prompt.STANDARD)
    session = TransformersSession(backend.loaded, prompt, Stop())
    got = torch.tensor(session.directed(Branch("j", prompt.joint_tail, bias, answers=True), ANSWER).logits).double()
    want = direct_path("Llama", reference, prompt, bias)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()))


def test_rows_multiplied_one_by_one_are_adapted_as_well(tiny_folder, folder, reference, registry, monkeypatch):
    monkeypatch.setattr(few_rows, "SMALLEST", 0)
    monkeypatch.setattr(few_rows, "_faster", lambda weights, rows: True)
    fast = answering(load(tiny_folder, registry=registry), folder)
    assert fast.loaded.few_rows
    prompt = fast.encode(THREE, Prompt.STANDARD)
    session = TransformersSession(fast.loaded, prompt, Stop())
    found = decode(session, branches(prompt)[:3], STEPS)
    said = [token.id for token in found["joint"]]
    ids = [*prompt.context_ids, *prompt.joint_tail]
    assert said == reference.answer(ids, said, prompt.span_map, AttentionBias({"b": 1.0}))[0]
    assert all(check.passed for check in fast.self_test())


def test_the_pair_probe_reads_as_it_did(tiny_folder, backend, tiny_backend, tmp_path):
    probe = load_probe(Adapted(tiny_folder, tmp_path / "probe").source, backend.loaded.model)
    prompt = backend.encode(THREE, Prompt.STANDARD)
    pair = Branch("pair", (40, 41, 42), AttentionBias({"c": REMOVE}))
    found = []
    for loaded in (backend.loaded, tiny_backend.loaded):
        session = TransformersSession(replace(loaded, probe=probe), prompt, Stop())
        decode(session, branches(prompt)[:1], 2)
        found.append(session.probe([pair]))
    assert found[0] == found[1]


# -- through the guard -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [Scope.ALL, Scope.GENERATED])
def test_the_verdict_and_the_answers_alone_are_the_bases_and_the_answer_is_not(backend, tiny_backend, registry, scope):
    request = replace(REQUESTS[2], rebalance=replace(REQUESTS[2].rebalance, scope=scope))
    request = replace(request, detail=replace(request.detail, alone_answers=True))
    adapted, base = (Guard(one, registry, model="tiny") for one in (backend, tiny_backend))
    found, wanted = adapted.answer(request), base.answer(request)
    assert replace(found.verdict, model_reported=None) == replace(wanted.verdict, model_reported=None)
    for one, other in zip(found.spans, wanted.spans, strict=True):
        assert one.answer_alone == other.answer_alone
        assert one.contribution_before != other.contribution_before
    assert found.raw_answer != wanted.raw_answer
    assert found.unbiased_answer != wanted.unbiased_answer
    features = registry.evidence_features.names()
    assert adapted.evidence(request, features) == base.evidence(request, features)
    checked = adapted.check(request)
    assert checked.verdict == base.check(request).verdict
    assert [one.contribution_before for one in checked.spans] == [one.contribution_before for one in found.spans]


def test_answered_together_every_joint_answer_is_adapted(backend, registry):
    guard = Guard(backend, registry, model="tiny")
    for found, request in zip(guard.answers(REQUESTS), REQUESTS, strict=True):
        wanted = guard.answer(request)
        assert (found.raw_answer, found.unbiased_answer) == (wanted.raw_answer, wanted.unbiased_answer)
        for one, other in zip(found.spans, wanted.spans, strict=True):
            assert one.contribution_generated == pytest.approx(other.contribution_generated, rel=1e-4)


def test_an_explanation_is_of_the_model_that_answers(backend, tiny_backend, registry):
    request = replace(REQUESTS[0], detail=replace(REQUESTS[0].detail, unbiased_answer=False))
    found, base = (Guard(one, registry, model="tiny").explain(request) for one in (backend, tiny_backend))
    assert found.response.raw_answer != base.response.raw_answer
    assert found.before.norms != base.before.norms
    assert found.directed.tokens > 0
