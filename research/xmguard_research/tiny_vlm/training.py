"""Trains a learner within a budget, with transformers' Trainer for the loop.

Checkpoints hold what is trained and no more, and a run goes on from the newest. Knows nothing of pictures.
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
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import get_last_checkpoint

from xmguard_research.tiny_vlm.budget import Budget
from xmguard_research.tiny_vlm.learner import Learner
from xmguard_research.tiny_vlm.prompts import Conversation
from xmguard_research.tiny_vlm.recipe import Recipe, Stage

TRAINED, SPENT = "trained.safetensors", "budget.json"
LOG = "log.jsonl"
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


class BudgetTrainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """A Trainer whose learning rates follow a budget, and whose checkpoints are what is trained."""

    def __init__(self, *, learner: Trainable, rows: Sequence[Row], stage: Stage, recipe: Recipe, **rest: Any):
        self._learner, self._rows, self._stage, self._recipe = learner, rows, stage, recipe
        self.budget: Budget = rest.pop("budget")
        self.tokens_of_step = 0
        super().__init__(model=learner, train_dataset=list(rows), **rest)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW, with the learner's own rates."""
        groups = self._learner.groups(self._stage)
        self.optimizer = torch.optim.AdamW(groups, weight_decay=self._recipe.weight_decay, betas=(0.9, 0.98))
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
        return LengthGroupedSampler(
            self._stage.batch,
            lengths=[row.tokens for row in self._rows],
            generator=torch.Generator().manual_seed(self._recipe.seed),
        )

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

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        self._learner.load_trained(load_file(folder / TRAINED))
        self.budget.load(folder / SPENT)


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Spends the budget, tells how it goes, keeps the log, and asks for checkpoints by the clock."""

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

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The clock starts."""
        self._saved = time.monotonic()
        self._progress.start()
        self._task = self._progress.add_task(self._stage.name, total=1.0, eta="", said="")
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

    def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """The bar ends."""
        self._progress.stop()

    def _write(self, row: dict[str, Any]) -> None:
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def train_stage(
    learner: Trainable,
    rows: Sequence[Row],
    collate: Collate,
    stage: Stage,
    budget: Budget,
    recipe: Recipe,
    out: Path,
    *,
    save_minutes: float = 5.0,
    resume: bool = True,
    validate: Callable[[], dict[str, float]] | None = None,
    log_every: int = 10,
) -> Path:
    """Train one stage into `out / stage.name`; returns the folder of the newest checkpoint.

    A stage that is finished is only loaded; one that was stopped goes on, if `resume`.
    """
    folder = out / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    last = get_last_checkpoint(str(folder)) if resume else None
    if last is not None:
        budget.load(Path(last) / SPENT)
        if budget.progress >= 1.0:
            learner.load_trained(load_file(Path(last) / TRAINED))
            return Path(last)
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": stage.batch,
        "max_steps": _ENDLESS,
        "max_grad_norm": 1.0,
        "bf16": True,
        "use_cpu": not torch.cuda.is_available(),
        "seed": recipe.seed,
        "logging_steps": log_every,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "save_total_limit": 2,
        "disable_tqdm": True,
        "report_to": [],
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
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
    trainer.add_callback(Watch(trainer, stage, out / LOG, save_minutes=save_minutes, validate=validate))
    trainer.train(resume_from_checkpoint=last)
    found = get_last_checkpoint(str(folder))
    if found is None:
        raise RuntimeError(f"the stage {stage.name} ended without a checkpoint in {folder}")
    return Path(found)


@contextmanager
def evaluating(learner: Any) -> Iterator[None]:
    """Without gradients, in the precision of training."""
    learner.eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
        yield
    learner.train()


def exact_matches(learner: Learner, rows: Sequence[Conversation], collate: Collate, batch: int) -> list[bool]:
    """Whether greedy decoding would give each branch's answer, token by token, in the order of rows and branches.

    Every token is predicted from the right ones before it: as long as they are all right, that is what greedy
    decoding reads.
    """
    found: list[bool] = []
    device = learner._table.device
    for first in range(0, len(rows), batch):
        packed = {name: value.to(device) for name, value in collate(rows[first : first + batch]).items()}
        with evaluating(learner):
            right = learner.logits(packed).argmax(dim=-1) == packed["answers"]
        wrong = set(packed["branch_of"][~right].tolist())
        found += [number not in wrong for number in range(int(packed["branch_of"].max()) + 1)]
    return found


def by_skill(rows: Sequence[Conversation], matches: Sequence[bool]) -> dict[str, float]:
    """Share of exact matches of each skill, and of `all`."""
    skills = [branch.asked.skill for row in rows for branch in row.branches]
    own: dict[str, list[bool]] = {skill: [] for skill in sorted(set(skills))}
    for skill, match in zip(skills, matches, strict=True):
        own[skill].append(match)
    return {name: round(sum(found) / len(found), 4) for name, found in {**own, "all": list(matches)}.items()}
