"""TRL's trainer with two savings: vocabulary logits only where a target is predicted, and, where an adapter acts on
the answer alone, contexts that the base reads without a gradient.

Knows neither files nor recipes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from trl import SFTTrainer

from xmguard_research.mixing.encoding import IGNORED
from xmguard_research.mixing.ordering import LengthOrder


def predictions(labels: Tensor) -> Tensor:
    """[batch, token] whether the row predicts a target: the token after it is one."""
    return nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1))


def negative_log_likelihood(model: Any, inputs: dict[str, Tensor], **reading: Any) -> Tensor:
    """Sum over the targets of the batch, in nats; a scalar in float32.

    Args:
        model: a causal language model of transformers; its head multiplies the predicting rows only.
        inputs: `input_ids` and `labels` [batch, token].
        reading: further arguments of the model's, such as the cache of a context.
    """
    labels = inputs["labels"]
    predicting = predictions(labels)
    logits = model(input_ids=inputs["input_ids"], logits_to_keep=predicting, **reading).logits
    return nn.functional.cross_entropy(logits.float(), labels[:, 1:][predicting[:, :-1]], reduction="sum")


def with_context(model: Any, adapted: Any, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """How the model has to read the rows after contexts that the base has read: the cache, mask and positions.

    Args:
        model: what is called; it may be wrapped for distributed training.
        adapted: the PEFT model inside, whose adapter does not act on the context.
        inputs: as `AnswerCollator` makes them.
    """
    ids, lengths, own = inputs["context_ids"], inputs["context_lengths"], inputs["context"]
    none = torch.zeros_like(ids, dtype=torch.bool)
    with torch.no_grad(), _without_adapter(adapted):
        cache = model(input_ids=ids, logits_to_keep=none, use_cache=True).past_key_values
    cache.batch_select_indices(own)
    columns = torch.arange(inputs["input_ids"].shape[1], device=ids.device)
    own_lengths = lengths[own, None]
    seen = [
        torch.arange(ids.shape[1], device=ids.device) < own_lengths,
        columns.expand(len(own), -1) < inputs["lengths"][:, None],
    ]
    return {
        "past_key_values": cache,
        "attention_mask": torch.cat(seen, dim=1).long(),
        "position_ids": own_lengths + columns,
        "use_cache": True,
    }


@contextmanager
def _without_adapter(adapted: Any) -> Iterator[None]:
    """As PEFT's own, without looking through every layer to check that all agree, which takes longer than the reading."""
    training = adapted.training
    adapted.eval()  # a base that drops out reads its context whole
    adapted.base_model.disable_adapter_layers()
    try:
        yield
    finally:
        adapted.base_model.enable_adapter_layers()
        adapted.train(training)


class MixingTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains on batches of `WholeCollator`, or of `AnswerCollator` where the adapter acts on the answer alone."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Mean over all targets of the optimizer's step, of which the batch may hold a part, in nats.

        Raises:
            ValueError: the outputs are asked for; there are none, since most rows have no logits.
        """
        if return_outputs:
            raise ValueError("only the loss can be computed; set prediction_loss_only")
        total = self.likelihood(model, inputs)
        if num_items_in_batch is None:
            return total / (inputs["labels"] != IGNORED).sum()
        # Gradients are averaged over the processes, and the count is of all of them.
        return total / num_items_in_batch * (self.accelerator.num_processes if self._counts_everywhere else 1)

    def likelihood(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Negative log-likelihood of the batch's targets, summed, in nats."""
        if "context" not in inputs:
            return negative_log_likelihood(model, inputs, use_cache=False)
        adapted = self.accelerator.unwrap_model(model)
        return negative_log_likelihood(model, inputs, **with_context(model, adapted, inputs))

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthOrder:
        rows = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.per_device_train_batch_size * self.args.world_size
        return LengthOrder([len(ids) for ids in rows["input_ids"]], batch, self.args.seed)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: the card is `xmguard.json`, beside the model."""

    @property
    def _counts_everywhere(self) -> bool:
        return bool(self.args.average_tokens_across_devices)
