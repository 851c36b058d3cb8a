"""Checks on the loaded model itself that a bias does what it says, for `xmguard doctor`.

The comparison is the model's own forward pass, pictures included, with one plain softmax under an explicit additive
mask: none of the split and merge that serves requests takes part in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from xmguard.backends.pictures import Picture
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.transformers import attention
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.session import TransformersSession
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import EncodedPrompt
from xmguard.contracts import Branch, SelfCheck
from xmguard.deadline import Stop
from xmguard.parts import ImagePart, Part, TextPart
from xmguard.request import Decoding, Prompt

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.25}
"""Largest difference in nats of the first token's log-probability; bfloat16 keeps 8 bits of every activation."""


def run(loaded: LoadedModel, encoder: PromptEncoder, dtype: str) -> list[SelfCheck]:
    """Compare the engine with masked attention at eps = 0, +2 and -inf, and see that the span's attention follows."""
    shown: Part = TextPart("The museum opened in 1962 on the north bank.")
    if encoder.reads_pictures:
        shown = ImagePart(96, 64, bytes(index % 251 for index in range(3 * 96 * 64)))
    said = TextPart("The museum opened in 1975 on the north bank.")
    spans: list[tuple[str, list[Part]]] = [("first", [shown]), ("second", [said])]
    prompt = encoder.encode_parts(spans, "When did the museum open?", Prompt.STANDARD)
    session = TransformersSession(loaded, prompt, Stop())
    tolerance = TOLERANCE[dtype]
    checks = []
    masses = []
    for name, epsilon in (("eps = 0 changes nothing", 0.0), ("eps = +2 is Eq. 2", 2.0), ("eps = -inf removes", REMOVE)):
        branch = Branch(name, prompt.joint_tail, AttentionBias({"first": epsilon}), measured=True)
        token = next(session.decode([branch], {name: Decoding(max_tokens=1)}))
        masses.append(session.measure(branch).attention["first"])
        assert token.logprob is not None  # this engine has every distribution at hand
        gap = abs(float(_masked(loaded, prompt, epsilon)[token.id]) - token.logprob)
        checks.append(
            SelfCheck(name, gap <= tolerance, f"differs from masked attention by {gap:.1e} nats, allowed {tolerance}")
        )
    plain, lifted, removed = masses
    checks.append(
        SelfCheck(
            "the bias moves attention",
            removed == 0.0 < plain < lifted,
            f"mass of the span: {plain:.3f} without bias, {lifted:.3f} at +2, {removed:.3f} removed",
        )
    )
    if loaded.few_rows:
        checks.append(_few_rows(loaded))
    return checks


@torch.inference_mode()
def _few_rows(loaded: LoadedModel) -> SelfCheck:
    """Rows multiplied one by one against torch's own product, on the largest matrix."""
    linear = loaded.model.get_output_embeddings()
    gaps = []
    for count in loaded.few_rows:
        rows = torch.randn(count, linear.in_features, generator=torch.Generator().manual_seed(count))
        gaps.append(float((linear(rows) - nn.functional.linear(rows, linear.weight, linear.bias)).abs().max()))
    named = ", ".join(map(str, sorted(loaded.few_rows)))
    detail = f"{named} rows at a time are multiplied one by one, found faster at load; differs by {max(gaps):.1e}"
    return SelfCheck("few rows, one by one", max(gaps) <= TOLERANCE["float32"], detail)


@torch.inference_mode()
def _masked(loaded: LoadedModel, prompt: EncodedPrompt, epsilon: float) -> Tensor:
    """Log-probabilities of the first token, [vocabulary], by one pass under an additive mask."""
    ids = [*prompt.context_ids, *prompt.joint_tail]
    device = loaded.model.device
    bias = torch.zeros(len(ids), len(ids), device=device)
    span = prompt.span_map.spans[0]
    bias[prompt.span_map.context_tokens :, span.start : span.stop] += epsilon
    output = loaded.model(
        input_ids=torch.tensor([ids], device=device),
        past_key_values=DynamicCache(),
        use_cache=True,
        logits_to_keep=1,
        **_of_pictures(loaded.model, len(ids), prompt.media or ()),
        **{attention.KEYWORD: _MaskedReading(bias)},
    )
    return torch.log_softmax(output.logits[0, -1].float(), dim=-1)


def _of_pictures(model: Any, length: int, pictures: Sequence[Picture]) -> dict[str, Tensor]:
    """What the model's own forward takes of at most one picture: it places the features and the positions itself."""
    found: dict[str, Tensor] = {}
    for picture in pictures:
        types = torch.zeros(1, length, dtype=torch.long)
        types[0, picture.start : picture.start + len(picture.ids)] = torch.tensor(picture.types)
        accepted = inspect.signature(type(model).forward).parameters
        found |= {name: types for name in ("mm_token_type_ids", "token_type_ids") if name in accepted}
        found |= picture.inputs
    return {name: value.to(model.device) for name, value in found.items()}


@dataclass
class _MaskedReading:
    """One softmax over the visible keys, under an additive bias [query, key]."""

    bias: Tensor
    layers: set[int] = field(default_factory=set)

    def read(self, call: AttentionCall) -> Tensor:
        groups = call.query.shape[1] // call.key.shape[1]
        key, value = (part.repeat_interleave(groups, dim=1).float() for part in (call.key, call.value))
        logits = call.query.float() @ key.mT * call.scaling
        if call.soft_cap is not None:
            logits = call.soft_cap * torch.tanh(logits / call.soft_cap)
        visible = torch.ones_like(self.bias).tril().bool() if call.mask is None else call.mask
        if call.mask is None and call.window is not None:
            visible = visible.triu(1 - call.window)
        logits = (logits + self.bias).masked_fill(~visible, -torch.inf)
        if call.sinks is not None:
            logits = torch.cat([logits, call.sinks.float().view(1, -1, 1, 1).expand(*logits.shape[:-1], 1)], dim=-1)
        weights = torch.softmax(logits, dim=-1)[..., : value.shape[2]]
        return weights @ value
