"""What parity with the eager reference means for a request that vLLM has run."""

from __future__ import annotations

import pytest
import torch

from tests.integration.eager import Eager
from tests.vllm.engine import Asked, Read, array
from xmguard.request import Scope

WHOLE, EACH = 1e-5, 1e-4
"""Of contributions and masses against eager attention: relative to the largest of a layer, and each to itself.

The tiny models are sharp, so that a bias tells, and amplify what float32 rounds; the small numbers show it.
"""


def assert_parity(eager: Eager, asked: Asked, read: Read, whole: float = WHOLE) -> None:
    """Tokens, log-probabilities, entropies, contributions, masses and epsilons equal the reference's."""
    assert read.errors == []
    want, logits, step = eager.answer(asked.ids, read.tokens, asked.span_map, asked.bias, measure=True)
    assert len(read.tokens) == asked.steps
    assert read.tokens == want
    chosen = torch.log_softmax(logits, -1)[range(len(want)), want]
    assert read.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)
    assert read.entropies == pytest.approx(torch.distributions.Categorical(logits=logits).entropy().tolist(), abs=1e-4)
    tail = slice(asked.span_map.context_tokens, len(asked.ids))
    generated = slice(len(asked.ids), len(asked.ids) + asked.steps - 1)  # the last token is never read back
    for kind, rows in (("prompt", tail), ("generated", generated)):
        message = read.only(kind)
        assert message["rows"] == rows.stop - rows.start
        for name, reference in (("norms", step.norms), ("masses", step.masses)):
            means, wanted = array(message, name).double() / message["rows"], reference[..., rows].mean(-1)
            torch.testing.assert_close(means, wanted, rtol=EACH, atol=1e-6)
            largest = wanted.amax((1, 2), keepdim=True)
            torch.testing.assert_close(means / largest, wanted / largest, rtol=0, atol=whole)
        if asked.bias.rule is None and asked.bias.heads is None:
            silent = asked.bias.scope is Scope.GENERATED and kind == "prompt"
            applied = [0.0, *(0.0 if silent else asked.bias.epsilon.get(s, 0.0) for s in asked.span_map.ids)]
            epsilons = array(message, "epsilons") / message["rows"]
            assert torch.equal(epsilons, torch.tensor(applied).expand_as(epsilons))
