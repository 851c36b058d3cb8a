"""Trains a learner within a budget, with transformers' Trainer for the loop.

Checkpoints hold what is trained and no more, and a run goes on from the newest: with a budget of tokens, a run that was
stopped gives what an unbroken one gives. Knows neither pictures nor the model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers import __version__ as transformers_version
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from xmguard.errors import SetupIncomplete
from xmguard_research.tiny_vlm.budget import Budget
from xmguard_research.tiny_vlm.checkpoints import LOG, MACHINES, SPENT, TRAINED, newest, resumable
from xmguard_research.tiny_vlm.recipe import Recipe, Stage

_ENDLESS = 10**7
"""Steps that the loop is told to make; the budget ends it."""

Collate = Callable[[Sequence[Any]], dict[str, Tensor]]


class Trainable(Protocol):
    """A module whose forward takes a batch and returns its `loss`."""

    def groups(self, stage: Stage) -> list[dict[str, Any]]:
        """Parameters with their learning rates; the others are left alone."""
        ...

    def trained(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""
        ...

    def load_trained(self, tensors: Mapping[str, Tensor]) -> None:
        """Put it back."""
        ...


class Row(Protocol):
    """Something to learn from."""

    @property
    def tokens(self) -> int:
        """That are read of it."""
        ...


def one_device() -> str:
    """The GPU where there is one, else the CPU.

    Raises:
        SetupIncomplete: there are several; a batch is not made to be split.
    """
    if torch.cuda.device_count() > 1:
        raise SetupIncomplete(
            f"this trains on one GPU and sees {torch.cuda.device_count()}; set CUDA_VISIBLE_DEVICES=0, or another"
        )
    return "cuda" if torch.cuda.is_available() else "cpu"


def _machine() -> dict[str, str]:
    device = torch.cuda.get_device_name() if one_device() == "cuda" else "cpu"
    return {"device": device, "torch": torch.__version__, "transformers": transformers_version}


class _Shuffled(LengthGroupedSampler):  # type: ignore[misc]  # transformers has no types
    """Rows of like lengths together, in an order that seed and epoch decide, so that a resumed run reads the same."""

    def __init__(self, batch: int, lengths: Sequence[int], seed: int) -> None:
        super().__init__(batch, lengths=list(lengths))
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The loader says which it is."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class BudgetTrainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """A Trainer whose learning rates follow a budget, and whose checkpoints are what is trained."""

    def __init__(self, *, learner: Trainable, rows: Sequence[Row], stage: Stage, recipe: Recipe, **rest: Any):
        self._learner, self._rows, self._stage, self._recipe = learner, rows, stage, recipe
        self.budget: Budget = rest.pop("budget")
        self.tokens_of_step = 0
        self._machines: list[dict[str, str]] = []
        super().__init__(model=learner, train_dataset=list(rows), **rest)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW, with the learner's own rates."""
        groups = self._learner.groups(self._stage)
        recipe = self._recipe
        self.optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, betas=recipe.betas)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """The rates that the budget says, whatever the number of steps."""
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer, lambda step: self.budget.rate(self._recipe.warmup)
        )
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return _Shuffled(self._stage.batch, [row.tokens for row in self._rows], self._recipe.seed)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **rest: Any) -> Any:
        """The learner's, and how many tokens the step reads."""
        self.tokens_of_step = int(inputs.pop("tokens"))
        outputs = model(**inputs)
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._learner.trained(), folder / TRAINED)
        self.budget.save(folder / SPENT)
        machines = [one for one in self._machines if one != _machine()]
        (folder / MACHINES).write_text(json.dumps([*machines, _machine()]) + "\n", encoding="utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        self._learner.load_trained(load_file(folder / TRAINED))
        self.budget.resume(folder / SPENT)
        self._machines = json.loads((folder / MACHINES).read_text(encoding="utf-8"))


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Spends the budget, tells how it goes, keeps the log, and asks for checkpoints by the clock.

    A context manager: the bar ends however the training does.
    """

    def __init__(
        self,
        trainer: BudgetTrainer,
        stage: Stage,
        log: Path,
        *,
        save_minutes: float,
        validate: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self._trainer, self._budget = trainer, trainer.budget
        self._stage, self._log, self._validate = stage, log, validate
        self._save_seconds = 60.0 * save_minutes
        self._saved = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            TextColumn("{task.fields[said]}"),
            console=Console(stderr=True),
        )
        self._task = TaskID(0)

    def __enter__(self) -> Watch:
        self._progress.start()
        self._task = self._progress.add_task(self._stage.name, total=1.0, eta="", said="")
        return self

    def __exit__(self, *raised: object) -> None:
        self._progress.stop()

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The clock starts."""
        self._saved = time.monotonic()
        self._budget.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Spend; stop when nothing is left."""
        budget = self._budget
        budget.spend(self._trainer.tokens_of_step)
        left = budget.seconds_spent * (1.0 - budget.progress) / max(budget.progress, 1e-9)
        self._progress.update(self._task, completed=budget.progress, eta=f"{left / 60:.0f} min left")
        if budget.progress >= 1.0:
            control.should_training_stop = True
        if budget.progress >= 1.0 or time.monotonic() - self._saved > self._save_seconds:
            control.should_save = control.should_log = True
            self._saved = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """One line of the log."""
        if not logs or "loss" not in logs:
            return
        budget = self._budget
        row = {
            "stage": self._stage.name,
            "step": state.global_step,
            "tokens": budget.tokens_spent,
            "minutes": round(budget.seconds_spent / 60, 3),
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs["grad_norm"],
            "tokens_per_second": round(budget.tokens_spent / max(budget.seconds_spent, 1e-9), 1),
        }
        self._write(row)
        self._progress.update(self._task, said=f"loss {row['loss']:.3f}, {row['tokens_per_second']:.0f} tokens/s")

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Validate what was saved; the time this takes is spent as well."""
        if self._validate is not None:
            self._write({"stage": self._stage.name, "step": state.global_step, "validation": self._validate()})

    def _write(self, row: dict[str, Any]) -> None:
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def train_stage(
    learner: Trainable,
    rows: Sequence[Row],
    collate: Collate,
    stage: Stage,
    recipe: Recipe,
    out: Path,
    *,
    save_minutes: float = 5.0,
    validate: Callable[[], dict[str, float]] | None = None,
    log_every: int = 10,
    tell: Callable[[str], None] = print,
) -> tuple[Path, Budget]:
    """Train one stage into `out / stage.name`; returns the folder of the newest checkpoint, and what was spent.

    A stage that is finished is only loaded; one that was stopped goes on.

    Raises:
        SetupIncomplete: there are several GPUs, or the checkpoint to go on from is of another version or bound.
    """
    device, budget = one_device(), recipe.budget(stage)
    folder = out / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    last = resumable(out, stage.name, tell)
    if last is not None:
        budget.resume(last.folder / SPENT)
        if budget.progress >= 1.0:
            learner.load_trained(load_file(last.folder / TRAINED))
            return last.folder, budget
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": stage.batch,
        "max_steps": _ENDLESS,
        "max_grad_norm": recipe.clip,
        "bf16": True,
        "use_cpu": device == "cpu",
        "seed": recipe.seed,
        "logging_steps": log_every,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "save_total_limit": 2,
        "disable_tqdm": True,
        "report_to": [],
        "remove_unused_columns": False,
        "dataloader_pin_memory": device == "cuda",
    }
    trainer = BudgetTrainer(
        learner=learner,
        rows=rows,
        stage=stage,
        recipe=recipe,
        budget=budget,
        args=TrainingArguments(**arguments),
        data_collator=collate,
    )
    trainer.remove_callback(PrinterCallback)  # the bar and the log say it
    with Watch(trainer, stage, out / LOG, save_minutes=save_minutes, validate=validate) as watch:
        trainer.add_callback(watch)
        trainer.train(resume_from_checkpoint=None if last is None else str(last.folder))
    found = newest(out, stage.name)
    if found is None:
        raise RuntimeError(f"the stage {stage.name} ended without a checkpoint in {folder}")
    return found.folder, budget


@contextmanager
def evaluating(learner: Any) -> Iterator[None]:
    """Without gradients, in the precision of training."""
    learner.eval()
    try:
        with torch.inference_mode(), torch.autocast(one_device(), dtype=torch.bfloat16):
            yield
    finally:
        learner.train()
