"""Directed contributions against the direct path taken apart from outside: what every module put out in one eager pass.

The reference knows the modules of each family by name and only divides what came out of them by what went in; the
engine probes norms and knows no family.
"""

import pytest
import torch

from tests.integration.eager import Eager
from tests.integration.families import FAMILIES
from tests.integration.parity import BIASES, RULES, THREE
from xmguard.backends.transformers.loader import load
from xmguard.backends.transformers.session import TransformersSession
from xmguard.contracts import Branch
from xmguard.deadline import Stop
from xmguard.request import Prompt
from xmguard.testing import make_model

ANSWER = (40, 41, 70, 90, 33)
# The module that reads the residual stream right after attention has been added to it.
READS_AFTER_ATTENTION = {
    "Gemma2": "pre_feedforward_layernorm",
    "Gemma3": "pre_feedforward_layernorm",
    "Olmo2": "mlp",
    "Olmo3": "mlp",
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory, registry):
    member = FAMILIES[request.param]
    folder = make_model(tmp_path_factory.mktemp("model"), family=request.param, seed=member.seed, **member.config)
    return request.param, load(folder, registry=registry), Eager(folder, dtype=torch.float64)


class Seen:
    """Inputs and outputs of the modules of an eager pass, [query, d_model]."""

    def __init__(self, model):
        self.inputs, self.outputs, self.handles = {}, {}, []
        for name, module in model.named_modules():
            self.handles.append(module.register_forward_hook(self.note(name), with_kwargs=True))

    def note(self, name):
        def hook(module, args, kwargs, output):
            given = args[0] if args else kwargs.get("hidden_states")
            if isinstance(given, torch.Tensor):
                self.inputs[name] = given[0].detach().double()
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, torch.Tensor):
                self.outputs[name] = (first[0] if first.ndim == 3 else first).detach().double()

        return hook

    def close(self):
        for handle in self.handles:
            handle.remove()


def written_by_attention(family, seen, number):
    """What the attention of one layer added to the residual stream, [query, d_model]."""
    layer = f"model.layers.{number}"
    if family.startswith("Cohere"):  # attention and MLP read the same input and are added together
        return seen.outputs[layer] - seen.inputs[layer] - seen.outputs[f"{layer}.mlp"]
    reader = READS_AFTER_ATTENTION.get(family, "post_attention_layernorm")
    return seen.inputs[f"{layer}.{reader}"] - seen.inputs[layer]


def reference(family, eager, prompt, bias):
    """Nats per layer, head and segment, mean over the answer's tokens."""
    ids = [*prompt.context_ids, *prompt.joint_tail, *ANSWER[:-1]]
    seen = Seen(eager.model)
    step = eager.run(ids, prompt.span_map, bias, len(prompt.context_ids) + len(prompt.joint_tail))
    seen.close()
    rows = slice(len(ids) - len(ANSWER), len(ids))
    before, after = seen.inputs["model.norm"][rows], seen.outputs["model.norm"][rows]
    centred = family.startswith("Cohere")
    held = after / (before - before.mean(-1, keepdim=True) if centred else before)
    unembedding = eager.model.get_output_embeddings().weight.detach().double()
    plain = (after @ unembedding.T).gather(1, torch.tensor(ANSWER)[:, None])[:, 0]
    logits = step.logits[rows].double().gather(1, torch.tensor(ANSWER)[:, None])[:, 0]
    cap = getattr(eager.model.config, "final_logit_softcapping", None)
    if cap is not None:
        logits = cap * torch.atanh(logits / cap)
    onto = unembedding[list(ANSWER)] * (logits / plain)[:, None] * held
    if centred:
        onto = onto - onto.mean(-1, keepdim=True)
    layers = []
    for number, layer in enumerate(eager.model.model.layers):
        out = seen.outputs[f"model.layers.{number}.self_attn"][rows]
        passed_on = written_by_attention(family, seen, number)[rows] / out
        weights, value = layer.self_attn.reference_record
        heads, _, keys = weights.shape
        value = value.repeat_interleave(heads // value.shape[0], 0)
        projection = layer.self_attn.o_proj.weight.detach().double().view(-1, heads, value.shape[-1])
        member = torch.zeros(len(prompt.span_map) + 1, keys, dtype=torch.float64)
        for segment, span in enumerate(prompt.span_map, start=1):
            member[segment, span.start : span.stop] = 1
        member[0] = 1 - member[1:].sum(0)
        parts = torch.einsum("hqk,sk,hkd->hsqd", weights[:, rows], member, value)
        layers.append(torch.einsum("mhd,hsqd,qm->hsq", projection, parts, passed_on * onto).mean(-1))
    return torch.stack(layers)


@pytest.mark.parametrize("kind", ["generated rows only", "target"])
def test_every_familys_directed_contributions_equal_the_direct_path(family, kind):
    name, backend, eager = family
    bias = (BIASES | RULES)[kind]
    prompt = backend.encode(THREE, Prompt.STANDARD)
    session = TransformersSession(backend.loaded, prompt, Stop())
    directed = session.directed(Branch("joint", prompt.joint_tail, bias), ANSWER)
    want = reference(name, eager, prompt, bias)
    got = torch.tensor(directed.logits, dtype=torch.float64)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()))
    assert directed.tokens == len(ANSWER)
    assert directed.toward["b"] == pytest.approx(float(want[:, :, 2].sum()), rel=1e-3, abs=1e-3)
