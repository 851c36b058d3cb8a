"""One run: from a recipe and its data to a checkpoint folder, going on where an earlier run of the same was stopped.

    RUN/run.json        which recipe and data it is of
    RUN/checkpoints/    the trainer's, to go on from
    RUN/metrics.jsonl   a line for every step and validation
    RUN/model/          the checkpoint folder

Knows no wording and no command line.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import SFTConfig

from xmguard.backends.transformers.loader import _hash
from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.plugins import load_plugins
from xmguard_research.mixing import checkpoint
from xmguard_research.mixing.collating import AnswerCollator, WholeCollator, row
from xmguard_research.mixing.encoding import InstanceEncoder
from xmguard_research.mixing.modelling import Base, find_base, load_model, load_tokenizer
from xmguard_research.mixing.recipe import Recipe
from xmguard_research.mixing.trainer import MixingTrainer
from xmguard_research.mixing.watching import Watch

INSTANCES, VALIDATION, MANIFEST = "instances.jsonl", "validation.jsonl", "manifest.json"
CHECKPOINTS, METRICS, MODEL, IDENTITY = "checkpoints", "metrics.jsonl", "model", "run.json"


class TrainingStopped(XmguardError):
    """A run cannot go on; what it had saved is kept."""

    code = ErrorCode.FAILED_PRECONDITION
    reason = Reason.SETUP_INCOMPLETE


@dataclass(frozen=True)
class Split:
    """Encoded instances."""

    rows: Dataset
    trained: int
    """Tokens that carry a loss."""
    read: int
    """All tokens."""


def run_training(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    force: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train, or go on training, and write `out/model`.

    Args:
        recipe: what is trained, and how.
        data: a folder with `instances.jsonl`, `validation.jsonl` (which may be empty) and `manifest.json`.
        out: the run's folder.
        force: throw away what a run of another recipe or of other data has left in `out`.
        tell: told in words what is done.

    Returns:
        The checkpoint folder.

    Raises:
        InvalidRequest: data or recipe cannot be trained on, and what of it.
        ModelNotFound: the base is not on this machine.
        ModelRefused: the base cannot be trained.
        TrainingStopped: the loss is no number any more, or a checkpoint cannot be written.
    """
    identity = {"recipe_sha256": recipe.digest, "data_sha256": checkpoint.sha256(data / INSTANCES, data / VALIDATION)}
    _claim(out, identity, force=force)
    registry = load_plugins()
    base = find_base(recipe, registry)
    tokenizer = load_tokenizer(base)
    tell(f"reading {data}")
    train, validation = (read_split(data / name, recipe, base, tokenizer, registry) for name in (INSTANCES, VALIDATION))
    if not len(train.rows):
        raise InvalidRequest.field(str(data / INSTANCES), "holds no instances; build the data again")
    tell(f"{len(train.rows)} instances, {train.trained} trained tokens of {train.read} read")
    model = load_model(base, recipe.train)
    watch = Watch(out / METRICS, train.trained, train.read, tell)
    trainer = make_trainer(recipe, model, tokenizer, train.rows, validation.rows, out / CHECKPOINTS, watch)
    trainer.train(resume_from_checkpoint=_newest(out / CHECKPOINTS))
    card = _card(recipe, base, data, train, trainer, watch)
    checkpoint.write(trainer.model, tokenizer, out / MODEL, card, _state(trainer))
    return out / MODEL


def read_split(file: Path, recipe: Recipe, base: Base, tokenizer: Any, registry: Any) -> Split:
    """Encode the instances of a file.

    Raises:
        InvalidRequest: an instance cannot be trained on.
    """
    encoder = InstanceEncoder(tokenizer, registry, base.name, frozenset({tokenizer.eos_token_id}))
    encoded = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            instance = json.loads(line)
            one = encoder.encode(instance)
            if recipe.train.acts_on == "answer" and len(one.targets) > 1:
                raise InvalidRequest.field(
                    "train.acts_on",
                    f"is 'answer', which takes one question and one reply; instance {instance['id']} holds "
                    f"{len(one.targets)} replies (data.turns: single, or acts_on: all)",
                )
            encoded.append(one)
    rows = Dataset.from_list([row(one) for one in encoded])
    return Split(rows, sum(one.trained for one in encoded), sum(len(one.ids) for one in encoded))


def make_trainer(
    recipe: Recipe, model: Any, tokenizer: Any, rows: Dataset, validation: Dataset, folder: Path, watch: Watch
) -> MixingTrainer:
    """The trainer of a recipe; its checkpoints go into `folder`."""
    train = recipe.train
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    collator = AnswerCollator(pad) if train.acts_on == "answer" else WholeCollator(pad)
    forward = min(train.instances_per_forward, recipe.instances_per_step)
    schedule = "constant_with_warmup" if train.schedule == "constant" else train.schedule
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": forward,
        "per_device_eval_batch_size": forward,
        "gradient_accumulation_steps": recipe.instances_per_step // forward,
        "num_train_epochs": 1,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": schedule,
        "warmup_steps": train.warmup,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": train.precision == "bf16",
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "seed": train.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": train.save_steps,
        "save_total_limit": 2,
        "eval_strategy": "steps" if len(validation) else "no",
        "eval_steps": train.save_steps,
        "report_to": [],
        "disable_tqdm": True,
        "label_names": ["labels"],
        "remove_unused_columns": False,
        "gradient_checkpointing": False,
        "packing": False,  # it would keep items from attending to each other
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    trainer = MixingTrainer(
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=rows,
        eval_dataset=validation if len(validation) else None,
        processing_class=tokenizer,
        data_collator=collator,
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _claim(out: Path, identity: dict[str, str], *, force: bool) -> None:
    """Make `out` the folder of this run, if it is not another's."""
    file = out / IDENTITY
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    if found not in (None, identity):
        if not force:
            raise InvalidRequest.field(
                "--out", f"{out} holds a run of another recipe or of other data; choose another folder, or say --force"
            )
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
        shutil.rmtree(out / MODEL, ignore_errors=True)
        (out / METRICS).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")


def _newest(folder: Path) -> str | None:
    """The newest whole checkpoint: the trainer writes its own state last."""
    found = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=lambda file: int(file.parent.name.split("-")[1]))
    return str(found[-1].parent) if found else None


def _state(trainer: MixingTrainer) -> dict[str, torch.Tensor]:
    """The trained weights by name."""
    return {name: tensor for name, tensor in trainer.model.named_parameters() if tensor.requires_grad}


def _card(recipe: Recipe, base: Base, data: Path, train: Split, trainer: MixingTrainer, watch: Watch) -> dict[str, Any]:
    """What `xmguard.json` says; the adapter's hash is not known yet."""
    manifest = json.loads((data / MANIFEST).read_text(encoding="utf-8"))
    adapter = {} if recipe.train.method == "full" else {"adapter": {"acts_on": recipe.train.acts_on}}
    parent = base.card.get("training", {}).get("recipe_sha256")
    parents = base.card.get("training", {}).get("parents", []) + ([parent] if parent else [])
    return {
        "name": recipe.name,
        "base_model": base.name,
        "base_sha256": _hash(base.path),
        "license": recipe.license,
        **adapter,
        "training": {
            "recipe": recipe.model_dump(mode="json"),
            "recipe_sha256": recipe.digest,
            "parents": parents,
            "git": manifest.get("git", "unknown"),
            "data": manifest,
            "trained_tokens": train.trained,
            "read_tokens": train.read,
            "steps": trainer.state.global_step,
            "seconds": round(watch.seconds, 1),
        },
        "benchmarks": [],
    }
