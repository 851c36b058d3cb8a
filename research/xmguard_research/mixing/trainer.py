"""TRL's trainer with two savings.

Vocabulary logits are computed only where a target is predicted; and where an adapter acts on the answer alone, the
base reads the context, without a gradient. Knows no files but its checkpoints, and no recipes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import Tensor, nn
from trl import SFTTrainer

from xmguard_research.mixing.encoding import IGNORED
from xmguard_research.mixing.ordering import LengthOrder
from xmguard_research.mixing.run import list_files
from xmguard_research.mixing.watching import TrainingStopped


def negative_log_likelihood(model: Any, inputs: dict[str, Any], **reading: Any) -> Tensor:
    """Sum over the targets of the batch, in nats; a scalar in float32.

    Args:
        model: a causal language model of transformers; its head multiplies only the rows whose next token is a target.
        inputs: `input_ids` and `labels` [batch, token].
        reading: further arguments of the model's, such as pictures or the cache of a context.
    """
    following = inputs["labels"][:, 1:]
    predicting = nn.functional.pad(following != IGNORED, (0, 1))
    logits = model(input_ids=inputs["input_ids"], logits_to_keep=predicting, **reading).logits
    return nn.functional.cross_entropy(logits.float(), following[predicting[:, :-1]], reduction="sum")


def after_context(model: Any, adapted: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """How the rows after the contexts are read: with the keys and values that the base has made of these.

    Args:
        model: what is called; it may be wrapped for several processes.
        adapted: the PEFT model inside, whose adapter does not act on the contexts.
        inputs: as `AnswerCollator` makes them.

    Returns:
        Arguments of the model: cache, mask and positions.
    """
    ids, lengths, own = inputs["context_ids"], inputs["context_lengths"], inputs["context"]
    none = torch.zeros_like(ids, dtype=torch.bool)
    with torch.no_grad(), _without_adapter(adapted):
        cache = model(input_ids=ids, logits_to_keep=none, use_cache=True, **inputs["pictures"]).past_key_values
    cache.batch_select_indices(own)
    before = lengths[own, None]
    columns = torch.arange(inputs["input_ids"].shape[1], device=ids.device)
    seen = [torch.arange(ids.shape[1], device=ids.device) < before, columns < inputs["lengths"][:, None]]
    return {
        "past_key_values": cache,
        "attention_mask": torch.cat(seen, dim=1).long(),
        "position_ids": before + columns,
        "use_cache": True,
    }


@contextmanager
def _without_adapter(adapted: Any) -> Iterator[None]:
    """The base alone.

    PEFT's own way also tells the adapter's weights that they need no gradient, of which shards that are gathered for
    the first time would never hear the end.
    """
    layers = [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]
    training = adapted.training
    adapted.eval()  # a context is read as it is served: nothing is dropped out
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False
        adapted.train(training)


class MixingTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains on batches of `WholeCollator`, or of `AnswerCollator` where the adapter acts on the answer alone."""

    control: Any

    def __init__(self, *, order: LengthOrder, **arguments: Any) -> None:
        """`order` of the training instances; the rest is TRL's."""
        self._order = order
        super().__init__(**arguments)
        self.model_accepts_loss_kwargs = True  # the count of a step's targets, which compute_loss takes

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The batch's share of the mean over all targets of the optimizer's step, in nats.

        Raises:
            ValueError: the outputs are asked for; most rows have no logits.
        """
        if return_outputs or num_items_in_batch is None:
            raise ValueError("the loss of a step is all there is; evaluate() has that of other data")
        # The count is of all processes, over which the gradient is averaged.
        loss: Tensor = self.likelihood(model, inputs) / num_items_in_batch * self.accelerator.num_processes
        return loss

    def likelihood(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Negative log-likelihood of the batch's targets, summed, in nats."""
        if "context" not in inputs:
            return negative_log_likelihood(model, inputs, use_cache=False, **inputs["pictures"])
        adapted = self.accelerator.unwrap_model(model)
        return negative_log_likelihood(model, inputs, **after_context(model, adapted, inputs))

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Mean loss over all targets, in nats, as `eval_loss`."""
        model = self.model_wrapped
        model.eval()
        totals = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        for batch in self.get_eval_dataloader(eval_dataset):
            inputs = self._prepare_inputs(batch)
            with torch.no_grad(), self.compute_loss_context_manager():
                totals[0] += self.likelihood(model, inputs)
            totals[1] += (inputs["labels"] != IGNORED).sum()
        nats, targets = self.accelerator.reduce(totals, "sum").tolist()
        metrics = {f"{metric_key_prefix}_loss": nats / targets}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: the card is `xmguard.json`, beside the model."""

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthOrder:
        return self._order

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # All but the trainer's state is there now, which ends a checkpoint. Without its optimizer's file, the trainer
        # would go on from it as if there had been none.
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            list_files(Path(output_dir))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors hide the system's error
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(folder, ignore_errors=True)
            raise TrainingStopped.unwritable(f"checkpoint {folder}", error) from error
