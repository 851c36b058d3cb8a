"""What is trained: the projector, and an adapter in the frozen language model.

Pictures come as the features that the frozen tower made of them. The vocabulary is projected at answer positions
alone, which on a CPU is most of the cost of a step otherwise. Knows no optimiser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn

from xmguard_research.tiny_vlm.recipe import Recipe, Stage


class Learner(nn.Module):
    """The model around its trainable parts."""

    def __init__(self, model: Any, recipe: Recipe) -> None:
        """`model` is a `SmolVlmTinyForConditionalGeneration` in float32, which this takes apart.

        The adapter's first weights are drawn from torch's own generator.
        """
        super().__init__()
        self.projector: nn.Module = model.model.projector.float().requires_grad_(True)
        language = model.model.language_model
        # Weights only: rotary frequencies in bfloat16 would turn late positions by another angle than when served.
        for parameter in language.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
        table = language.embed_tokens.weight
        settings = LoraConfig(
            r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=0.0, target_modules=list(recipe.modules)
        )
        self.language: Any = get_peft_model(language, settings)
        self._table = table.detach()

    def groups(self, stage: Stage) -> list[dict[str, Any]]:
        """Parameters, all in float32, with their learning rates."""
        adapter = [one for name, one in self.language.named_parameters() if "lora_" in name]
        return [
            {"params": list(self.projector.parameters()), "lr": stage.projector_rate},
            {"params": adapter, "lr": stage.adapter_rate},
        ]

    def trained(self) -> dict[str, Tensor]:
        """What a checkpoint holds, named as it travels: `projector.…` and `language_model.….lora_A.weight`."""
        found = {f"projector.{name}": value for name, value in self.projector.state_dict().items()}
        for name, value in self.language.named_parameters():
            if "lora_" in name:
                found[_travelling(name)] = value
        return {name: value.detach().cpu().clone() for name, value in found.items()}

    @torch.no_grad()
    def load_trained(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `trained` gave.

        Raises:
            KeyError: something is missing.
        """
        self.projector.load_state_dict({name: tensors[f"projector.{name}"] for name in self.projector.state_dict()})
        for name, value in self.language.named_parameters():
            if "lora_" in name:
                value.copy_(tensors[_travelling(name)])

    def logits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """[answer token, vocabulary] of a batch of `packing.collate`."""
        embedded = nn.functional.embedding(batch["ids"], self._table)
        if batch["features"].numel():
            cells = self.projector(batch["features"].float()).flatten(0, 1).to(embedded.dtype)
            placeholders = (batch["ids"] == batch["image_token"]).unsqueeze(-1)
            embedded = embedded.masked_scatter(placeholders, cells)
        with disable_input_dtype_casting(self.language):  # autocast does it once, not once for each adapter
            hidden = self.language(
                inputs_embeds=embedded,
                attention_mask=batch["allowed"],
                position_ids=batch["positions"],
                use_cache=False,
            ).last_hidden_state
        rows, columns = batch["answer_at"].unbind(1)
        return nn.functional.linear(hidden[rows, columns], self._table)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """The mean cross-entropy of the answers' tokens, nats, as `loss`."""
        return {"loss": nn.functional.cross_entropy(self.logits(batch).float(), batch["answers"])}

    def _apply(self, fn: Any, recurse: bool = True) -> Learner:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._table = fn(self._table)
        return self


def _travelling(name: str) -> str:
    module = name.removeprefix("base_model.model.").replace(".default.", ".")
    return f"language_model.{module}"
