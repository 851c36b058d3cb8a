"""The reference of the parity tests: transformers' own eager attention under 4-D masks, no cache, nothing of ours.

Every pass runs the whole sequence. Contributions are computed in float64 from the weights and values that the
model's own eager attention worked with. Share rules and head factors, which no mask can say, reweigh what eager
attention attends to, row by row and without a single logarithm of a sum.
"""

import math
import sys
from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM
from transformers.masking_utils import eager_mask

from xmguard.bias import AttentionBias, FloorShares, SoftenShares, TargetShares
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


def first_row(span, span_map, bias, prompt_tokens):
    """The first row that reads a span with the bias."""
    return {Scope.READERS: span_map.context_tokens, Scope.ALL: span.stop, Scope.GENERATED: prompt_tokens}[bias.scope]


class Reweigh:
    """Attention weights under constant epsilons, a share rule and head factors, in float64 and in probabilities."""

    def __init__(self, span_map, bias, prompt_tokens):
        self.spans = list(span_map)
        self.first_rows = [first_row(span, span_map, bias, prompt_tokens) for span in self.spans]
        self.bias = bias

    def __call__(self, weights, keys, layer):
        weights, sink = weights[0, ..., :keys], weights[0, ..., keys]  # [head, query, key]
        heads, rows, _ = weights.shape
        power = torch.tensor((self.bias.heads or [[1.0] * heads] * (layer + 1))[layer]).double().view(heads, 1)
        reads = [torch.arange(rows) >= first for first in self.first_rows]
        constant = []
        for span, steers in zip(self.spans, reads, strict=True):
            factor = math.exp(self.bias.epsilon.get(span.span_id, 0.0)) ** power
            constant.append(torch.where(steers, factor, 1.0))
        weights, sink = self.scaled(weights, sink, constant)
        shares = [weights[..., span.start : span.stop].sum(-1) for span in self.spans]  # each [head, query]
        steered = [torch.where(steers, share, 0.0) for steers, share in zip(reads, shares, strict=True)]
        # Not 1 minus the named shares: what is left may be smaller than the rounding of that difference.
        others = weights.clone()
        for span, steers in zip(self.spans, reads, strict=True):
            if isinstance(self.bias.rule, TargetShares) and span.span_id in self.bias.rule.shares:
                others[:, steers, span.start : span.stop] = 0.0
        wanted = self.wanted(torch.stack(steered), others.sum(-1) + sink)
        factors = [
            torch.where(share > 0, (want / share) ** power, 1.0) for want, share in zip(wanted, steered, strict=True)
        ]
        return self.scaled(weights, sink, factors)[0].unsqueeze(0)

    def scaled(self, weights, sink, factors):
        weights = weights.clone()
        for span, factor in zip(self.spans, factors, strict=True):
            weights[..., span.start : span.stop] *= factor.unsqueeze(-1)
        total = weights.sum(-1) + sink
        return weights / total.unsqueeze(-1), sink / total

    def wanted(self, shares, rest):
        """Each span's share before everything is divided by the new sum, [span, head, query]; 0 stays 0."""
        rule = self.bias.rule
        if isinstance(rule, TargetShares):
            named = torch.tensor([rule.shares.get(span.span_id, 0.0) for span in self.spans]).double().view(-1, 1, 1)
            named = torch.where(shares > 0, named, 0.0)
            return torch.where(named > 0, named * rest / (1.0 - named.sum(0)), shares)
        if isinstance(rule, FloorShares):
            least = torch.tensor([rule.minimum.get(span.span_id, 0.0) for span in self.spans]).double().view(-1, 1, 1)
            return torch.minimum(torch.maximum(shares, least * shares.amax(0)), shares * math.exp(rule.cap))
        if isinstance(rule, SoftenShares):
            powered = torch.where(shares > 0, shares ** (1 / rule.temperature), 0.0)
            whole = powered.sum(0)
            return powered * shares.sum(0) / torch.where(whole > 0, whole, 1.0)
        return shares


def double_weights(query, key, mask, *, scaling, softcap=None, s_aux=None, **_):
    """Attention weights in float64, [batch, head, query, key], and one more key for a sink. Eager attention takes its
    softmax in float32, where a share below 1e-38 is gone; a target share would lift it."""
    key = key.double().repeat_interleave(query.shape[1] // key.shape[1], 1)
    logits = query.double() @ key.transpose(-1, -2) * scaling
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    logits = logits.masked_fill(mask < LOWEST / 2, -torch.inf)
    sink = torch.full_like(logits[..., :1], -torch.inf)
    if s_aux is not None:
        sink = s_aux.double().view(1, -1, 1, 1).expand_as(sink)
    return torch.softmax(torch.cat([logits, sink], -1), -1)


def recording_eager(module, query, key, value, attention_mask, **kwargs):
    """The eager attention of the model's own modelling file, keeping what it worked with."""
    eager = sys.modules[type(module).__module__].eager_attention_forward
    output, weights = eager(module, query, key, value, attention_mask, **kwargs)
    if module.reference_reweigh is not None:
        exact = double_weights(query, key, attention_mask, **kwargs)
        torch.testing.assert_close(exact[:, :, :, : key.shape[2]].to(weights.dtype), weights, rtol=0, atol=1e-5)
        weights = module.reference_reweigh(exact, key.shape[2], int(module.layer_idx))
        values = value.double().repeat_interleave(weights.shape[1] // value.shape[1], 1)
        output = (weights @ values).transpose(1, 2).to(query.dtype).contiguous()
    module.reference_record = (weights[0].double(), value[0].double())
    return output, weights


class Eager:
    def __init__(self, folder, dtype=torch.float32):
        AttentionInterface.register("xmguard_reference", recording_eager)
        AttentionMaskInterface.register("xmguard_reference", eager_mask)
        # Experts one by one: the grouped product that is taken otherwise knows no float64.
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="xmguard_reference", experts_implementation="eager", dtype=dtype
        ).eval()

    @torch.no_grad()
    def run(self, ids, span_map: SpanMap, bias: AttentionBias, prompt_tokens: int, measure=True) -> Step:
        reweighed = bias.rule is not None or bias.heads is not None
        mask = self._mask(len(ids), span_map, AttentionBias() if reweighed else bias, prompt_tokens)
        layers = self.model.get_decoder().layers
        for layer in layers:
            layer.self_attn.reference_reweigh = Reweigh(span_map, bias, prompt_tokens) if reweighed else None
        output = self._forward(torch.tensor([ids]), mask)
        if not measure:
            return Step(output.logits[0], torch.empty(0), torch.empty(0))
        norms, masses = zip(*(self._contributions(layer, span_map) for layer in layers), strict=True)
        return Step(output.logits[0], torch.stack(norms), torch.stack(masses))

    def _forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=self._for_layers(mask), use_cache=False)

    def answer(self, ids, said, span_map, bias, measure=False):
        """Greedy tokens and the logits each was chosen from, as many as `said`, which the other side says; the pass.

        In one pass: as long as the other side says what is likeliest here, each row has read the same tokens. Where it
        first does not, the tokens differ from `said`; those after it mean nothing.
        """
        step = self.run([*ids, *said], span_map, bias, len(ids), measure)
        logits = step.logits[len(ids) - 1 : -1]
        return logits.argmax(-1).tolist(), logits, step

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
            first = first_row(span, span_map, bias, prompt_tokens)
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
