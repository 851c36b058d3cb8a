"""Trains the adapter of the last rows on contexts that the frozen model has read.

The context's keys and values are the frozen model's, computed once; only the rows of the tail see the adapter. So a
step costs the tail alone, and at run time the probe reads the context that every other branch has read. Uses PEFT for
the adapter and transformers' Trainer for the loop. Knows nothing of verdicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, DynamicCache, Trainer, TrainingArguments

from xmguard.calibration import ProbeSource
from xmguard_research.probe.examples import LABELS


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out, beside the data."""

    layers: int = 16
    """Decoder layers the probe runs; the state after the last of them is classified."""
    task: str = "\n\nQuestion: {question}\nSame answer?"
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.1
    learning_rate: float = 1e-3
    epochs: int = 3
    batch: int = 32
    warmup: float = 0.05
    seed: int = 0
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass
class Row:
    """One example as token ids, with what the frozen model made of its context."""

    context: list[int]
    tail: list[int]
    label: int
    cache: Tensor | None = field(default=None, repr=False)
    """[layer, 2, kv_head, token, head_dim]"""

    @property
    def read(self) -> Tensor:
        """The cache, which must be there."""
        if self.cache is None:
            raise ValueError("a row's context has not been read; call TailClassifier.read_contexts first")
        return self.cache


class TailClassifier(nn.Module):
    """Classifies the last row of a tail that is read after a cached context."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        super().__init__()
        torch.manual_seed(recipe.seed)
        base = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=len(LABELS), num_hidden_layers=recipe.layers, dtype=torch.bfloat16, local_files_only=True
        )
        config = LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=list(recipe.modules),
        )
        self.peft = get_peft_model(base, config)

    @property
    def _classifier(self) -> Any:
        """The model that PEFT has put its adapters into."""
        tuner: Any = self.peft.base_model
        return tuner.model

    @torch.inference_mode()
    def read_contexts(self, rows: Sequence[Row], batch: int, tell: Callable[[int], None]) -> None:
        """Fill the rows' caches with the frozen model's keys and values."""
        order = sorted((row for row in rows if row.cache is None), key=lambda row: len(row.context))
        backbone = self._classifier.model
        self.peft.eval()
        with self.peft.disable_adapter():
            for first in range(0, len(order), batch):
                chunk = order[first : first + batch]
                ids, mask = _padded([row.context for row in chunk], multiple=8)
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                cache = backbone(
                    input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True
                ).past_key_values
                for index, row in enumerate(chunk):
                    own = slice(-len(row.context), None)
                    row.cache = torch.stack(
                        [
                            torch.stack([layer.keys[index, :, own], layer.values[index, :, own]])
                            for layer in cache.layers
                        ]
                    ).clone()
                tell(len(chunk))

    def forward(
        self, ids: Tensor, mask: Tensor, context: Tensor, context_mask: Tensor, labels: Tensor, weights: Tensor
    ) -> dict[str, Tensor]:
        """Logits [batch, label] of the last row, and the weighted cross-entropy."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(context):
            cache.update(keys, values, layer)
        seen = torch.cat([context_mask, mask], dim=1)
        positions = (seen.cumsum(1) - 1).clamp(min=0)[:, context_mask.shape[1] :]
        model = self._classifier
        hidden = model.model(
            input_ids=ids, attention_mask=seen, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state
        logits = model.score(hidden[:, -1]).float()
        return {"loss": nn.functional.cross_entropy(logits, labels, weight=weights), "logits": logits}


def collate(rows: Sequence[Row], weights: Tensor) -> dict[str, Tensor]:
    """Contexts and tails padded on the left, so that the newest token is the last column."""
    ids, mask = _padded([row.tail for row in rows], multiple=8)
    caches = [row.read for row in rows]
    width = -(-max(cache.shape[3] for cache in caches) // 32) * 32
    layers, _, heads, _, size = caches[0].shape
    context = torch.zeros(layers, 2, len(rows), heads, width, size, dtype=caches[0].dtype)
    context_mask = torch.zeros(len(rows), width, dtype=torch.long)
    for index, cache in enumerate(caches):
        context[:, :, index, :, width - cache.shape[3] :] = cache
        context_mask[index, width - cache.shape[3] :] = 1
    labels = torch.tensor([row.label for row in rows])
    return {
        "ids": ids,
        "mask": mask,
        "context": context,
        "context_mask": context_mask,
        "labels": labels,
        "weights": weights,
    }


def train(model: TailClassifier, rows: Sequence[Row], recipe: Recipe, folder: Path) -> None:
    """Train the adapter; every class weighs the same."""
    counts = torch.bincount(torch.tensor([row.label for row in rows]), minlength=len(LABELS)).float()
    weights = (counts.sum() / counts.clamp(min=1) / (counts > 0).sum()).where(counts > 0, 0.0)
    _trainer(model, recipe, folder, rows, weights).train()


def save(model: TailClassifier, recipe: Recipe, folder: Path) -> ProbeSource:
    """Write the adapter as PEFT does, and `probe.json` with the recipe; what a profile needs to name it."""
    adapter = folder / "adapter"
    # Half precision: the adapter travels with the package, and its effect is far above the rounding.
    halved = {name: tensor.detach().half() for name, tensor in model.peft.named_parameters() if tensor.requires_grad}
    model.peft.save_pretrained(str(adapter), state_dict=halved)
    _without_the_machine(adapter / "adapter_config.json")
    (adapter / "README.md").unlink(missing_ok=True)  # a template of PEFT's, to be filled in by hand
    (folder / "probe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
    return load_source(folder)


def _without_the_machine(settings: Path) -> None:
    """Drop the folder of the base model on the machine it was trained on, and the random order of a set."""
    config = json.loads(settings.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": None, "target_modules": sorted(config["target_modules"])}
    settings.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def load_source(folder: Path) -> ProbeSource:
    """What a profile says of the probe in a folder that `save` wrote."""
    recipe = json.loads((folder / "probe.json").read_text(encoding="utf-8"))
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    return ProbeSource(folder / "adapter", hashlib.sha256(weights).hexdigest(), recipe["layers"], recipe["task"])


def _trainer(model: TailClassifier, recipe: Recipe, folder: Path, rows: Sequence[Row], weights: Tensor) -> Trainer:
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": recipe.batch,
        "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": recipe.warmup,
        "max_grad_norm": 1.0,
        "bf16": True,
        "use_cpu": True,
        "seed": recipe.seed,
        "logging_steps": 20,
        "save_strategy": "no",
        "report_to": [],
        "remove_unused_columns": False,
    }
    return Trainer(
        model=model,
        args=TrainingArguments(**arguments),
        train_dataset=list(rows),
        data_collator=lambda chunk: collate(chunk, weights),
    )


def _padded(sequences: Sequence[Sequence[int]], multiple: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, padded on the left to a multiple: few shapes, which is what CPU kernels are compiled for."""
    width = -(-max(map(len, sequences)) // multiple) * multiple
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.long)
    for index, sequence in enumerate(sequences):
        ids[index, width - len(sequence) :] = torch.tensor(sequence)
        mask[index, width - len(sequence) :] = 1
    return ids, mask
