"""How fast a step is, and what memory it takes: ours, and TRL's own of the same batch.

    python -m xmguard_research.mixing.throughput --model smollm2

Each is measured in a process of its own, so that the peak of one is not the other's. Prints a table, and JSON with
`--json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

KINDS: Mapping[str, str] = {
    "trl": "TRL's SFTTrainer, without gradient checkpointing",
    "logits": "transformers' Trainer, logits of every row",
    "all": "ours, acts_on: all",
    "answer": "ours, acts_on: answer",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m xmguard_research.mixing.throughput", description=__doc__)
    parser.add_argument("--model", default="smollm2", help="a name of `xmguard models list`, or a folder")
    parser.add_argument("--batch", type=int, default=8, help="instances")
    parser.add_argument("--tokens", type=int, default=256, help="of an instance")
    parser.add_argument("--trained", type=int, default=32, help="tokens of an instance that carry a loss, at its end")
    parser.add_argument("--steps", type=int, default=3, help="measured, after one that is not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16", help="as train.precision")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given)))
        return
    found = {kind: _in_a_process(kind) for kind in KINDS}
    print(json.dumps(found) if given.json else table(found))


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each kind, with its speed relative to TRL's."""
    lines = ["seconds/step  processor s  trained/s  read/s  peak GB  x TRL"]
    for kind, one in found.items():
        ratio = found["trl"]["seconds"] / one["seconds"]
        numbers = f"{one['seconds']:12.2f}  {one['processor_seconds']:11.2f}  {one['trained_per_second']:9.1f}"
        lines.append(
            f"{numbers}  {one['read_per_second']:6.0f}  {one['peak_gigabytes']:7.2f}  {ratio:5.2f}  {KINDS[kind]}"
        )
    return "\n".join(lines)


def measure(kind: str, given: Any) -> dict[str, float]:
    """Seconds of a step by the clock and of all processors, tokens a second, and the process's peak of memory in GB."""
    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        step = _step(kind, given, Path(folder))
        step()
        before, spent = time.perf_counter(), time.process_time()
        for _ in range(given.steps):
            step()
        seconds = (time.perf_counter() - before) / given.steps
        spent = (time.process_time() - spent) / given.steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    return {
        "seconds": seconds,
        "processor_seconds": spent,
        "trained_per_second": given.batch * given.trained / seconds,
        "read_per_second": given.batch * given.tokens / seconds,
        "peak_gigabytes": peak / 1e9,
    }


def _step(kind: str, given: Any, folder: Path) -> Callable[[], None]:
    """A step of forward, gradient and optimizer on one batch of random tokens."""
    import torch
    from datasets import Dataset
    from transformers import Trainer, default_data_collator
    from trl import SFTConfig, SFTTrainer

    from xmguard.plugins import load_plugins
    from xmguard_research.mixing.bases import find_base
    from xmguard_research.mixing.collating import AnswerCollator, WholeCollator
    from xmguard_research.mixing.encoding import IGNORED
    from xmguard_research.mixing.modelling import load_model
    from xmguard_research.mixing.ordering import LengthOrder
    from xmguard_research.mixing.readers import load_reader
    from xmguard_research.mixing.recipe import Train
    from xmguard_research.mixing.trainer import MixingTrainer

    registry = load_plugins()
    base = find_base(given.model, registry)
    train = Train(acts_on="answer" if kind == "answer" else "all", precision=given.precision)
    tokenizer = load_reader(base, registry).tokenizer
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(100, len(tokenizer) // 2, (given.batch, given.tokens), generator=draw).tolist()
    start = given.tokens - given.trained
    rows = Dataset.from_list(
        [
            {"input_ids": own, "labels": [IGNORED] * start + own[start:], "task": start - 24, "pictures": []}
            for own in ids
        ]
    )
    gpu = torch.cuda.is_available()
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=given.batch,
        bf16=given.precision == "bf16",
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        activation_checkpointing=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=kind == "trl",
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
    )
    model = load_model(base, train)
    if kind in ("trl", "logits"):
        # As they load a model: its own attention, and weights in float32 that autocast rounds at every step.
        model = model.float()
        model.base_model.model.set_attn_implementation("sdpa")
    common: dict[str, Any] = {"model": model, "args": arguments, "train_dataset": rows, "processing_class": tokenizer}
    pad = tokenizer.eos_token_id
    trainer: Any
    if kind == "trl":
        trainer = SFTTrainer(**common)
    elif kind == "logits":
        trainer = Trainer(
            **(common | {"train_dataset": rows.remove_columns(["task", "pictures"])}),
            data_collator=default_data_collator,
        )
    else:
        order = LengthOrder([given.tokens] * given.batch, given.batch, 0)
        collator = AnswerCollator(pad) if kind == "answer" else WholeCollator(pad)
        trainer = MixingTrainer(**common, order=order, data_collator=collator)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.current_gradient_accumulation_steps = 1
    trainer.create_optimizer()
    wrapped, optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    count = torch.tensor(given.batch * given.trained)

    def step() -> None:
        trainer.training_step(wrapped, dict(batch), num_items_in_batch=count)
        optimizer.step()
        optimizer.zero_grad()
        if gpu:
            torch.cuda.synchronize()

    return step


def _in_a_process(kind: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--one", kind], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
