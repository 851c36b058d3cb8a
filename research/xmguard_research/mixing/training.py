"""One run: from a recipe and its data to a checkpoint folder, going on where an earlier run of the same was stopped.

Knows no wording and no command line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import IntervalStrategy, PrinterCallback
from trl import SFTConfig

from xmguard.backends.context_length import context_length
from xmguard.backends.low_rank import WEIGHTS
from xmguard.errors import InvalidRequest
from xmguard.plugins import load_plugins
from xmguard_research.mixing import building, checkpoint, curves
from xmguard_research.mixing.bases import Base, find_base
from xmguard_research.mixing.collating import AnswerCollator, WholeCollator
from xmguard_research.mixing.digest import sha256
from xmguard_research.mixing.modelling import check_pictures, load_model
from xmguard_research.mixing.processor import emulation
from xmguard_research.mixing.readers import Reader, encoder_of, load_reader
from xmguard_research.mixing.recipe import Recipe
from xmguard_research.mixing.rows import Rows, read_rows
from xmguard_research.mixing.run import Run
from xmguard_research.mixing.trainer import MixingTrainer
from xmguard_research.mixing.watching import Show, TrainingStopped, Watch

_FASTER = "train.precision: fp32 in the recipe, or --set train.precision=fp32,"


def run_training(
    recipe: Recipe,
    data: Path | None,
    out: Path,
    *,
    force: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    show: Show = lambda line, step, steps: None,
) -> Path:
    """Train, or go on training, and write `out/model`.

    Args:
        recipe: what is trained, and how.
        data: what `building.build` made of the recipe; None makes it in `out/data`.
        out: the run's folder.
        force: begin anew, and throw away what a run has left in `out`.
        tell: told the steps before and after training, in words.
        show: told of every step of training.

    Returns:
        The checkpoint folder.

    Raises:
        InvalidRequest: data or recipe cannot be trained on, or `out` is another run's.
        ModelNotFound: the base is not on this machine.
        ModelRefused: the base cannot be trained.
        TrainingStopped: the loss is no number any more, or something cannot be read or written.
    """
    run = Run(out)
    arguments = _arguments(recipe, run)
    with run.held() if arguments.process_index == 0 else nullcontext():
        return _train(recipe, data, run, arguments, force, tell, show)


def _train(
    recipe: Recipe,
    data: Path | None,
    run: Run,
    arguments: SFTConfig,
    force: bool,
    tell: Callable[[str], None],
    show: Show,
) -> Path:
    registry = load_plugins()
    base = find_base(recipe.base_model, registry)
    batch = arguments.per_device_train_batch_size * arguments.world_size
    # The first process makes what is not there; the others find it.
    with arguments.main_process_first(local=False, desc="data"):
        folder = data or building.build(recipe, run.data, force=force, begun=True, tell=show).folder
        manifest = _manifest(folder, recipe)
        files = [folder / name for name in (building.INSTANCES, building.VALIDATION)]
        identity = _identity(recipe, base, sha256(*files), batch)
        if not force:
            run.require_own(identity)
    if run.finished and not force:
        tell(f"{run.model} is there already, of this recipe and data")
        return run.model
    if recipe.train.precision == "bf16" and arguments.device.type == "cpu" and (said := emulation(_FASTER)):
        tell(said)
    reader = load_reader(base, registry)
    encoder = encoder_of(base, reader, registry, folder)
    train, validation = (read_rows(file, encoder, recipe.train) for file in files)
    if not len(train):
        raise InvalidRequest.field("--data", f"{files[0]} holds no instances; build the data again")
    model = load_model(base, recipe.train)
    if any(one.pictures for one in train.encoded):
        check_pictures(base, model)
    _check_fits(train, validation, model.config.get_text_config(decoder=True), recipe)
    blank = [rows.missing(batch, arguments.world_size) for rows in (train, validation)]
    order = train.order(recipe.train, batch, blank[0])
    amounts = train.amounts(order, recipe.instances_per_step)
    thrown_away: list[str] = []
    # Not before: a mistake in a recipe neither takes a folder nor costs what --force replaces.
    with arguments.main_process_first(local=False, desc="run"):
        if arguments.process_index == 0:
            run.claim(identity, force=force)
            thrown_away = run.tidy()
        begun = run.newest
    watch = Watch(run.metrics, amounts, show)
    tell(
        f"{len(train)} instances, {amounts[-1].trained:,} trained tokens of {amounts[-1].read:,} read, in "
        f"{len(amounts)} steps"
        + "".join(f"; {name}, which was being written when the run was stopped, is gone" for name in thrown_away)
        + (f"; going on from {begun.name}" if begun else "")
    )
    datasets = (train.dataset(blank[0]), validation.dataset(blank[1]) if len(validation) else None)
    trainer = _trainer(recipe, arguments, model, reader, datasets, order, watch)
    try:
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    except OSError as error:  # whoever writes meanwhile says so itself
        raise TrainingStopped.unreadable(error.filename or "something that is trained on", error) from error
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        longest = max(len(one.ids) for one in train.encoded)
        raise TrainingStopped.exhausted(arguments.per_device_train_batch_size, longest, error) from error
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    try:
        if arguments.should_save:
            spent = {
                "trained_tokens": amounts[-1].trained,
                "read_tokens": amounts[-1].read,
                "steps": trainer.state.global_step,
                "seconds": round(watch.seconds, 1),
            }
            curves.draw(run.metrics, run.path / "curves")
            # The last of all: a run that has it is done.
            card = checkpoint.card(recipe, base, manifest, spent)
            checkpoint.write(trainer.accelerator.unwrap_model(trainer.model), reader, run.model, card, state)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors hide the system's error
        raise TrainingStopped.unwritable(run.path, error) from error
    trainer.accelerator.wait_for_everyone()
    return run.model


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Of a GPU torch says it by the error's type, of the machine in words."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _identity(recipe: Recipe, base: Base, data: str, batch: int) -> dict[str, str]:
    """What a run is of, by its SHA-256, and in how many instances over all processes its order is cut."""
    adapter = {} if base.adapter is None else {"adapter_sha256": sha256(base.adapter / WEIGHTS)}
    return {
        "recipe_sha256": recipe.digest,
        "data_sha256": data,
        "base_sha256": base.sha256,
        **adapter,
        "instances_per_forward": str(batch),
    }


def _check_fits(train: Rows, validation: Rows, config: Any, recipe: Recipe) -> None:
    """Refuse instances that the base cannot read, or not in two parts.

    Raises:
        InvalidRequest: one is longer than the base's context; or than its window, where contexts are read apart.
    """
    every = (*train.encoded, *validation.encoded)
    longest, most = max(len(one.ids) for one in every), context_length(config)
    if longest > most:
        raise InvalidRequest.field(
            "data.items",
            f"makes an instance of {longest} tokens, and the base reads {most}; give fewer, or shorter items",
        )
    window = _window(config)
    # A cache keeps the last keys alone, padding of shorter contexts among them.
    parts = zip(*((one.task, len(one.ids) - one.task) for one in every), strict=True)
    padded = sum(max(lengths) + AnswerCollator.multiple for lengths in parts)
    if recipe.train.acts_on == "answer" and window is not None and padded > window:
        raise InvalidRequest.field(
            "train.acts_on",
            f"is 'answer', which reads contexts apart, and layers of the base read through a window of {window} "
            f"tokens, less than the longest context and reply ({padded} with padding); give acts_on: all, or shorter "
            "items",
        )


def _window(config: Any) -> int | None:
    """Tokens that some layer reads at most; None where every layer reads all."""
    kinds = getattr(config, "layer_types", None) or ["sliding_attention", "chunked_attention"]
    sizes = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
    found = [getattr(config, name, None) for kind, name in sizes.items() if kind in kinds]
    return min((size for size in found if size), default=None)


def _manifest(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Of the data.

    Raises:
        InvalidRequest: there is none, or it is of other data than the recipe asks for.
    """
    file = folder / building.MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest.field("--data", f"{file} cannot be read; make it with: xmguard mix build") from error
    if manifest.get("data_sha256") != recipe.data_digest:
        raise InvalidRequest.field("--data", f"{folder} was built of another base or `data` than this recipe's")
    if changed := building.altered(manifest, folder):
        raise InvalidRequest.field("--data", f"{folder}: {changed}; build it again with: xmguard mix build --force")
    return manifest


def _arguments(recipe: Recipe, run: Run) -> SFTConfig:
    """The trainer's settings.

    Raises:
        InvalidRequest: a step's instances cannot be divided among the processes, or one process sees several GPUs.
    """
    train = recipe.train
    gpu = torch.cuda.is_available()
    arguments: dict[str, Any] = {
        "output_dir": str(run.checkpoints),
        "num_train_epochs": 1,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if train.schedule == "constant" else train.schedule,
        "warmup_steps": train.warmup,  # below 1 it is a share of the steps
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": train.precision == "bf16",
        "use_cpu": not gpu,
        "dataloader_pin_memory": gpu,
        "seed": train.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": train.save_steps,
        "save_total_limit": 2,
        "eval_steps": train.save_steps,
        "report_to": [],
        "disable_tqdm": True,
        "label_names": ["labels"],
        "remove_unused_columns": False,
        "activation_checkpointing": False,
        "packing": False,  # it would keep items from attending to each other
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    made = SFTConfig(**arguments)
    if made.n_gpu > 1:
        raise InvalidRequest.field(
            "CUDA_VISIBLE_DEVICES",
            f"shows {made.n_gpu} GPUs to one process, which trains on one; start a process for each with accelerate "
            "launch, or let it see one (CUDA_VISIBLE_DEVICES=0)",
        )
    own, rest = divmod(recipe.instances_per_step, made.world_size)
    forward = min(train.instances_per_forward, own)
    if rest or own % forward:
        raise InvalidRequest.field(
            "train.items_per_step",
            f"makes {recipe.instances_per_step} instances a step, which {made.world_size} processes cannot share in "
            f"forwards of {train.instances_per_forward} (train.instances_per_forward); change one of them",
        )
    made.per_device_train_batch_size = made.per_device_eval_batch_size = forward
    made.gradient_accumulation_steps = own // forward
    return made


def _trainer(
    recipe: Recipe, arguments: SFTConfig, model: Any, reader: Reader, rows: tuple[Any, Any], order: Any, watch: Watch
) -> MixingTrainer:
    tokenizer = reader.tokenizer
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    collator = AnswerCollator if recipe.train.acts_on == "answer" else WholeCollator
    train, validation = rows
    arguments.eval_strategy = IntervalStrategy("no" if validation is None else "steps")
    trainer = MixingTrainer(
        order=order,
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        data_collator=collator(pad, pictures=reader.pictures),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
