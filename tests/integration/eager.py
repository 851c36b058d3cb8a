"""The reference of the parity tests: transformers' own eager attention under a 4-D mask, no cache, nothing of ours.

Every step runs the whole sequence again. Contributions are computed in float64 from the weights it returns.
"""

from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM

from xmguard.bias import AttentionBias
from xmguard.context import SpanMap
from xmguard.request import Scope


@dataclass
class Step:
    """One forward pass over the whole sequence."""

    logits: torch.Tensor
    """[query, vocabulary]"""
    norms: torch.Tensor
    """||u_k||, [layer, head, segment, query]; segment 0 is the rest."""
    masses: torch.Tensor


class Eager:
    def __init__(self, folder, dtype=torch.float32):
        self.model = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=dtype).eval()

    @torch.no_grad()
    def run(self, ids, span_map: SpanMap, bias: AttentionBias, prompt_tokens: int, measure=True) -> Step:
        length = len(ids)
        mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)
        for span in span_map:
            first = {
                Scope.READERS: span_map.context_tokens,
                Scope.ALL: span.stop,
                Scope.GENERATED: prompt_tokens,
            }[bias.scope]
            epsilon = bias.epsilon.get(span.span_id, 0.0)
            # -inf would make 0 * inf = NaN of nothing; the most negative float gives the same zero weight.
            mask[first:, span.start : span.stop] += max(epsilon, torch.finfo(torch.float32).min)
        values = []
        hooks = [
            layer.self_attn.v_proj.register_forward_hook(lambda module, args, out: values.append(out))
            for layer in self.model.model.layers
        ]
        try:
            output = self.model(
                input_ids=torch.tensor([ids]),
                attention_mask=mask[None, None].to(self.model.dtype),
                output_attentions=measure,
                use_cache=False,
            )
        finally:
            for hook in hooks:
                hook.remove()
        if not measure:
            return Step(output.logits[0], torch.empty(0), torch.empty(0))
        norms, masses = zip(
            *(
                self._contributions(layer, weights[0].double(), value[0].double(), span_map)
                for layer, weights, value in zip(self.model.model.layers, output.attentions, values, strict=True)
            ),
            strict=True,
        )
        return Step(output.logits[0], torch.stack(norms), torch.stack(masses))

    def greedy(self, ids, span_map, bias, steps, measure=False):
        """Greedy tokens and the logits each was chosen from."""
        ids, tokens, logits = list(ids), [], []
        prompt_tokens = len(ids)
        for _ in range(steps):
            step = self.run(ids, span_map, bias, prompt_tokens, measure)
            logits.append(step.logits[-1])
            tokens.append(int(step.logits[-1].argmax()))
            ids.append(tokens[-1])
        return tokens, torch.stack(logits)

    def _contributions(self, layer, weights, value, span_map):
        """[head, segment, query] norms and masses from attention weights [head, query, key]."""
        heads, _, keys = weights.shape
        head_dim = layer.self_attn.head_dim
        value = (
            value.view(keys, -1, head_dim).permute(1, 0, 2).repeat_interleave(heads // (value.shape[-1] // head_dim), 0)
        )
        projection = layer.self_attn.o_proj.weight.double().view(-1, heads, head_dim)
        member = torch.zeros(len(span_map) + 1, keys, dtype=torch.float64)
        for segment, span in enumerate(span_map, start=1):
            member[segment, span.start : span.stop] = 1
        member[0] = 1 - member[1:].sum(0)
        summed = torch.einsum("hqk,sk,hkd->hsqd", weights, member, value)
        written = torch.einsum("mhd,hsqd->hsqm", projection, summed)
        return written.norm(dim=-1), torch.einsum("hqk,sk->hsq", weights, member)
