"""The reference of the parity tests: transformers' own eager attention under 4-D masks, no cache, nothing of ours.

Every step runs the whole sequence again. Contributions are computed in float64 from the weights and values that the
model's own eager attention worked with.
"""

import sys
from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM
from transformers.masking_utils import eager_mask

from xmguard.bias import AttentionBias
from xmguard.context import SpanMap
from xmguard.request import Scope

LOWEST = torch.finfo(torch.float32).min


@dataclass
class Step:
    """One forward pass over the whole sequence."""

    logits: torch.Tensor
    """[query, vocabulary]"""
    norms: torch.Tensor
    """||u_k||, [layer, head, segment, query]; segment 0 is the rest."""
    masses: torch.Tensor


def recording_eager(module, query, key, value, attention_mask, **kwargs):
    """The eager attention of the model's own modelling file, keeping what it worked with."""
    eager = sys.modules[type(module).__module__].eager_attention_forward
    output, weights = eager(module, query, key, value, attention_mask, **kwargs)
    module.reference_record = (weights[0].double(), value[0].double())
    return output, weights


class Eager:
    def __init__(self, folder, dtype=torch.float32):
        AttentionInterface.register("xmguard_reference", recording_eager)
        AttentionMaskInterface.register("xmguard_reference", eager_mask)
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="xmguard_reference", dtype=dtype
        ).eval()

    @torch.no_grad()
    def run(self, ids, span_map: SpanMap, bias: AttentionBias, prompt_tokens: int, measure=True) -> Step:
        mask = self._mask(len(ids), span_map, bias, prompt_tokens)
        output = self.model(input_ids=torch.tensor([ids]), attention_mask=self._for_layers(mask), use_cache=False)
        if not measure:
            return Step(output.logits[0], torch.empty(0), torch.empty(0))
        norms, masses = zip(*(self._contributions(layer, span_map) for layer in self.model.model.layers), strict=True)
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

    def _mask(self, length, span_map, bias, prompt_tokens):
        """Causal, plus the paper's Eq. 2 for the rows that read with the bias; [query, key]."""
        mask = torch.full((length, length), LOWEST).triu(1)
        for span in span_map:
            first = {
                Scope.READERS: span_map.context_tokens,
                Scope.ALL: span.stop,
                Scope.GENERATED: prompt_tokens,
            }[bias.scope]
            epsilon = bias.epsilon.get(span.span_id, 0.0)
            # -inf would make 0 * inf = NaN of nothing; the most negative float gives the same zero weight.
            mask[first:, span.start : span.stop] += max(epsilon, LOWEST)
        return mask

    def _for_layers(self, mask):
        """The mask as the model takes it. A 4-D mask is used as it is, so a window has to be in it."""
        config = self.model.config
        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or [])
        full = mask[None, None].to(self.model.dtype)
        if window is None or (kinds == {"full_attention"}):
            return full
        at = torch.arange(len(mask))
        outside = at[None, :] <= at[:, None] - window
        sliding = mask.masked_fill(outside, LOWEST)[None, None].to(self.model.dtype)
        if not kinds:
            return sliding
        return {"full_attention": full, "sliding_attention": sliding}

    def _contributions(self, layer, span_map):
        """[head, segment, query] norms and masses of one layer."""
        weights, value = layer.self_attn.reference_record  # [head, query, key], [kv_head, key, head_dim]
        heads, _, keys = weights.shape
        value = value.repeat_interleave(heads // value.shape[0], 0)
        projection = layer.self_attn.o_proj.weight.double().view(-1, heads, value.shape[-1])
        member = torch.zeros(len(span_map) + 1, keys, dtype=torch.float64)
        for segment, span in enumerate(span_map, start=1):
            member[segment, span.start : span.stop] = 1
        member[0] = 1 - member[1:].sum(0)
        summed = torch.einsum("hqk,sk,hkd->hsqd", weights, member, value)
        written = torch.einsum("mhd,hsqd->hsqm", projection, summed)
        return written.norm(dim=-1), torch.einsum("hqk,sk->hsq", weights, member)
