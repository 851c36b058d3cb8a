"""What parity with the eager reference means, shared by the tests of one model and of every family."""

import pytest
import torch

from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import REMOVE, AttentionBias, FloorShares, SoftenShares, TargetShares
from xmguard.context import Context, ContextSpan
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.request import Decoding, Prompt, Scope
from xmguard.span import Span

STEPS = 32
BIASES = {
    "none": AttentionBias({}),
    "lift the second": AttentionBias({"b": 2.0}),
    "lower the first": AttentionBias({"a": -3.0}),
    "remove the first": AttentionBias({"a": REMOVE}),
    "remove all": AttentionBias({"a": REMOVE, "b": REMOVE, "c": REMOVE}),
    "several": AttentionBias({"a": -1.0, "b": 2.5, "c": 0.5}),
    "lift the first, every later row": AttentionBias({"a": 2.0, "b": -1.0}, Scope.ALL),
    "remove the first, every later row": AttentionBias({"a": REMOVE}, Scope.ALL),
    "generated rows only": AttentionBias({"b": 2.0}, Scope.GENERATED),
}
# Half of the heads of the tiny models' three layers are steered, some of them half way.
HEADS = ((1.0, 0.5, 0.0, 1.0, 0.5, 0.0), (0.0,) * 6, (0.25, 1.0) * 3)
RULES = {
    "target": AttentionBias(rule=TargetShares({"a": 0.2, "b": 0.4})),
    "target after a removal": AttentionBias({"c": REMOVE, "a": 1.0}, rule=TargetShares({"b": 0.5, "c": 0.1})),
    "target, every later row": AttentionBias({}, Scope.ALL, TargetShares({"a": 0.3, "b": 0.3})),
    "floor": AttentionBias(rule=FloorShares({"a": 0.5, "b": 1.0, "c": 0.2}, cap=3.0)),
    "floor, generated rows only": AttentionBias({}, Scope.GENERATED, FloorShares({"b": 1.0}, cap=20.0)),
    "soften": AttentionBias(rule=SoftenShares(4.0)),
    "constant by head": AttentionBias({"a": REMOVE, "b": 3.0}, heads=HEADS),
    "target by head": AttentionBias(rule=TargetShares({"b": 0.6}), heads=HEADS),
    "constant by head, every later row": AttentionBias({"b": 3.0}, Scope.ALL, heads=HEADS),
}


def context(*texts):
    names = "abcdefgh"
    spans = tuple(ContextSpan(Span(names[index], text), "text", "en") for index, text in enumerate(texts))
    return Context(spans, "What does the sign say?")


THREE = context("The sign says OPEN until nine.", "标志上写着：关门。", "x")


class Spy(TransformersSession):
    """Keeps the logits of every forward pass."""

    def __init__(self, *args):
        self.logits = []
        super().__init__(*args)

    def _forward(self, *args, **kwargs):
        logits = super()._forward(*args, **kwargs)
        self.logits.append(logits[:, -1])
        return logits


def decode(session, branches, steps=STEPS):
    tokens = {branch.name: [] for branch in branches}
    for token in session.decode(branches, {branch.name: Decoding(max_tokens=steps) for branch in branches}):
        tokens[token.branch].append(token)
    return tokens


def assert_parity(backend, eager, bias, prompt=None, steps=STEPS):
    """Tokens, logits, log-probabilities, entropies, contributions and masses equal the reference."""
    prompt = prompt or backend.encode(THREE, Prompt.STANDARD)
    session = Spy(backend.loaded, prompt, Stop())
    branch = Branch("joint", prompt.joint_tail, bias, measured=True, answers=True)
    before_tokens = len(session.logits)
    tokens = decode(session, [branch], steps)["joint"]
    ids = [*prompt.context_ids, *prompt.joint_tail]
    said = [token.id for token in tokens]
    want, want_logits, step = eager.answer(ids, said, prompt.span_map, bias, measure=True)

    assert len(said) == steps
    assert said == want
    ours = torch.cat(session.logits[-steps:])  # the tail's last row, then one row per generated token read back
    assert len(session.logits) - before_tokens >= steps
    torch.testing.assert_close(ours, want_logits, rtol=0, atol=1e-4)
    logprobs = torch.log_softmax(want_logits, -1)
    assert [token.logprob for token in tokens] == pytest.approx(
        [float(logprobs[step, token]) for step, token in enumerate(want)], abs=1e-4
    )
    entropies = torch.distributions.Categorical(logits=want_logits).entropy().tolist()
    assert [token.entropy for token in tokens] == pytest.approx(entropies, abs=1e-4)

    tail = slice(prompt.span_map.context_tokens, len(ids))
    generated = slice(len(ids), len(ids) + steps - 1)  # the last token is never read back
    for measured, rows in ((session.measure(branch), tail), (session.generated(branch), generated)):
        assert measured.rows == rows.stop - rows.start
        assert_epsilon(measured, bias, generated_rows=rows is generated)
        norms = torch.tensor(measured.norms, dtype=torch.float64)
        masses = torch.tensor(measured.masses, dtype=torch.float64)
        torch.testing.assert_close(norms, step.norms[..., rows].mean(-1), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(masses, step.masses[..., rows].mean(-1), rtol=1e-4, atol=1e-6)


def assert_generated(measured, eager, prompt, branch, said):
    """What was measured in blocks equals the reference's rows of all tokens but the last, which is not read back."""
    ids = [*prompt.context_ids, *branch.tail]
    step = eager.run([*ids, *said], prompt.span_map, branch.bias, len(ids))
    rows = slice(len(ids), len(ids) + len(said) - 1)
    assert measured.rows == len(said) - 1, branch.name
    norms = torch.tensor(measured.norms, dtype=torch.float64)
    torch.testing.assert_close(norms, step.norms[..., rows].mean(-1), rtol=1e-4, atol=1e-6)


def assert_epsilon(measured, bias, generated_rows):
    """What was applied is reported: exactly where it is constant, as a mean where it differs by row or head."""
    if bias.rule is not None or bias.heads is not None:
        return
    silent = bias.scope is Scope.GENERATED and not generated_rows
    assert measured.epsilon == {span: 0.0 if silent else bias.epsilon.get(span, 0.0) for span in measured.span_map.ids}


def tokens_that_a_bias_changes(backend, eager, prompt=None, steps=STEPS):
    """How many of the reference's tokens +2 nats on the second span change: a parity test needs that many to fail."""
    prompt = prompt or backend.encode(THREE, Prompt.STANDARD)
    ids = [*prompt.context_ids, *prompt.joint_tail]
    plain, _ = eager.greedy(ids, prompt.span_map, BIASES["none"], steps)
    lifted, _ = eager.greedy(ids, prompt.span_map, BIASES["lift the second"], steps)
    return sum(a != b for a, b in zip(plain, lifted, strict=True))
