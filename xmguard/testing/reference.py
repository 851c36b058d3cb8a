"""What a bias means, computed plainly: one pass in float64 that keeps every attention weight and rescales it.

Nothing of the engine takes part: no segments' log-sum-exps, no merge, no cache. A constant epsilon multiplies the
weights on its span by e^epsilon (paper, Eq. 2); a share rule multiplies them by what its own definition asks for, row
by row. For tests only; it reads plain causal models, without soft caps and sinks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xmguard.bias import AttentionBias, FloorShares, ShareRule, SoftenShares, TargetShares
from xmguard.context import SpanMap
from xmguard.request import Scope

_IMPLEMENTATION = "xmguard_testing"
_KEYWORD = "xmguard_testing_pass"


@dataclass
class ReferencePass:
    """One forward pass over a whole sequence, float64."""

    span_map: SpanMap
    bias: AttentionBias
    prompt_tokens: int
    """Positions from here on were generated."""
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    """[query, vocabulary]"""
    before_rule: list[Tensor] = field(default_factory=list)
    """Per layer: attention masses before the share rule, [segment, head, query]; segment 0 is the rest."""
    masses: list[Tensor] = field(default_factory=list)
    """The same under the whole bias."""
    norms: list[Tensor] = field(default_factory=list)
    """Per layer: ||u_k||, [segment, head, query]."""

    def membership(self, keys: int) -> Tensor:
        """1 where a key belongs to a segment, [segment, key]."""
        member = torch.zeros(len(self.span_map) + 1, keys, dtype=torch.float64)
        for segment, span in enumerate(self.span_map, start=1):
            member[segment, span.start : span.stop] = 1.0
        member[0] = 1.0 - member[1:].sum(0)
        return member

    def reads(self, rows: int) -> Tensor:
        """Which segments each row reads with the bias, bool [segment, 1, query]."""
        at = torch.arange(rows)
        first = {Scope.READERS: self.span_map.context_tokens, Scope.GENERATED: self.prompt_tokens}
        return torch.stack(
            [
                torch.zeros(rows, dtype=torch.bool),
                *(at >= first.get(self.bias.scope, span.stop) for span in self.span_map),
            ]
        ).unsqueeze(1)

    def factors(self, layer: int, heads: int) -> Tensor:
        """The profile's factors of one layer, [1, head, 1]."""
        values = [1.0] * heads if self.bias.heads is None else self.bias.heads[layer]
        return torch.tensor(values, dtype=torch.float64).view(1, -1, 1)

    def epsilon(self) -> Tensor:
        """Constant epsilons in nats, [segment, 1, 1]."""
        values = [0.0, *(self.bias.epsilon.get(span, 0.0) for span in self.span_map.ids)]
        return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


class ReferenceModel:
    """A model folder, read in float64 through transformers with every weight materialised."""

    def __init__(self, folder: Path) -> None:
        from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM
        from transformers.masking_utils import eager_mask

        AttentionInterface.register(_IMPLEMENTATION, _attention)
        AttentionMaskInterface.register(_IMPLEMENTATION, eager_mask)
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation=_IMPLEMENTATION, dtype=torch.float64
        ).eval()

    @torch.no_grad()
    def run(self, ids: Sequence[int], span_map: SpanMap, bias: AttentionBias, *, prompt_tokens: int) -> ReferencePass:
        """Read a sequence under a bias; the first `prompt_tokens` of its tokens are the prompt."""
        result = ReferencePass(span_map, bias, prompt_tokens)
        output = self._model(input_ids=torch.tensor([list(ids)]), use_cache=False, **{_KEYWORD: result})
        result.logits = output.logits[0]
        return result


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer: [batch 1, head, query, head_dim] in, [1, query, head, head_dim] out."""
    record: ReferencePass = kwargs[_KEYWORD]
    heads, rows = query.shape[1:3]
    groups = heads // key.shape[1]
    key, value = key[0].repeat_interleave(groups, 0), value[0].repeat_interleave(groups, 0)
    weights = torch.softmax(query[0] @ key.transpose(1, 2) * scaling + attention_mask[0], dim=-1)
    member = record.membership(key.shape[1])
    factors = record.factors(len(record.masses), heads)
    reads = record.reads(rows)
    # -inf times the factor 0 of a head that is left alone would be NaN.
    epsilon = torch.where(factors > 0, record.epsilon() * factors.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    weights = _scaled(weights, torch.where(reads, epsilon.exp(), 1.0), member)
    shares = _shares(weights, member)
    record.before_rule.append(shares)
    if record.bias.rule is not None:
        ratios = share_ratios(record.bias.rule, record.span_map.ids, shares, reads)
        weights = _scaled(weights, ratios**factors, member)
    record.masses.append(_shares(weights, member))
    written = torch.einsum("hqk,sk,hkd->shqd", weights, member, value)
    projection = module.o_proj.weight.view(-1, heads, value.shape[-1])  # type: ignore[operator, union-attr]
    record.norms.append(torch.einsum("mhd,shqd->shqm", projection, written).norm(dim=-1))
    return written.sum(0).transpose(0, 1).unsqueeze(0), None


def _shares(weights: Tensor, member: Tensor) -> Tensor:
    """[head, query, key] to [segment, head, query]."""
    return torch.einsum("hqk,sk->shq", weights, member)


def _scaled(weights: Tensor, ratios: Tensor, member: Tensor) -> Tensor:
    """Weights on each segment multiplied by its ratio [segment, head, query], then normalised; nothing left is 0."""
    scaled = weights * torch.einsum("shq,sk->hqk", ratios.expand(-1, weights.shape[0], -1), member)
    total = scaled.sum(-1, keepdim=True)
    return torch.where(total > 0, scaled / total, 0.0)


def share_ratios(rule: ShareRule, spans: Sequence[str], shares: Tensor, reads: Tensor) -> Tensor:
    """What a rule multiplies the weights of each segment by, before they are normalised; the rest's ratio is 1.

    Args:
        rule: the rule, as `xmguard.bias` defines it.
        spans: ids of segments 1, 2, ...
        shares: of the row's attention, [segment, head, query].
        reads: bool, broadcastable to `shares`: the segments the row reads with the bias.
    """
    seen = reads & (shares > 0)
    ratios: Tensor = _RATIOS[type(rule)](rule, spans, shares, seen)
    return torch.where(seen, ratios, 1.0)


def _target(rule: TargetShares, spans: Sequence[str], shares: Tensor, seen: Tensor) -> Tensor:
    wanted = _column(rule.shares, spans)
    steered = seen & (wanted > 0)
    targets = torch.where(steered, wanted, 0.0)
    rest = torch.where(steered, 0.0, shares).sum(0)
    rest_ratio = torch.where(rest > 0, (1.0 - targets.sum(0)) / rest, 1.0)
    return torch.where(steered, targets / shares / rest_ratio, 1.0)


def _floor(rule: FloorShares, spans: Sequence[str], shares: Tensor, seen: Tensor) -> Tensor:
    largest = torch.where(seen, shares, 0.0).amax(0)
    return (_column(rule.minimum, spans) * largest / shares).clamp(1.0, math.exp(rule.cap))


def _soften(rule: SoftenShares, spans: Sequence[str], shares: Tensor, seen: Tensor) -> Tensor:
    inside = torch.where(seen, shares, 0.0)
    flat = torch.where(seen, shares ** (1.0 / rule.temperature), 0.0)
    return flat / flat.sum(0) * inside.sum(0) / shares


_RATIOS: dict[type, Any] = {TargetShares: _target, FloorShares: _floor, SoftenShares: _soften}


def _column(values: Any, spans: Sequence[str]) -> Tensor:
    """A number per segment, 0 for those not named, [segment, 1, 1]."""
    return torch.tensor([0.0, *(values.get(span, 0.0) for span in spans)], dtype=torch.float64).view(-1, 1, 1)
