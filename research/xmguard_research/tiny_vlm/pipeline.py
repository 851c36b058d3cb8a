"""The whole training: draws and looks, grounds the projector, then trains it with an adapter on answers.

Every step finds what is in the run's folder already and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from xmguard.errors import SetupIncomplete
from xmguard.models.smollm2 import SmolLM2
from xmguard.plugins import load_plugins
from xmguard_research.scenes import pictures, scenes
from xmguard_research.tiny_vlm import checkpoints
from xmguard_research.tiny_vlm.examples import conversations
from xmguard_research.tiny_vlm.features import Gallery, keep_features
from xmguard_research.tiny_vlm.figures import draw_log
from xmguard_research.tiny_vlm.grounding import Grounded, Grounder, labelled
from xmguard_research.tiny_vlm.learner import Learner
from xmguard_research.tiny_vlm.packing import collate
from xmguard_research.tiny_vlm.prompts import Conversation, Prompter
from xmguard_research.tiny_vlm.recipe import Recipe, keep_recipe
from xmguard_research.tiny_vlm.tower import published_tower
from xmguard_research.tiny_vlm.training import one_device, train_stage
from xmguard_research.tiny_vlm.validating import answered, recognised
from xmguard_smolvlm_tiny.assembly import make_model, make_processor
from xmguard_smolvlm_tiny.configuration import SmolVlmTinyVisionConfig

VALIDATION_SEED = 1_000_000
"""Of pictures that are looked at during training; no evaluation uses them."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Pictures:
    """What is learned from, or validated on."""

    gallery: Gallery
    grounded: list[Grounded]
    rows: list[Conversation]


def train(
    recipe: Recipe,
    out: Path,
    tower: Path | None = None,
    *,
    save_minutes: float,
    tell: Tell,
    resume: bool = True,
) -> None:
    """Fill the folder `out`: kept features, a folder of checkpoints for each stage, the log and its picture.

    Raises:
        SetupIncomplete: there are several GPUs, the folder was made with other settings, the recipe asks about no
            picture, or something must be fetched first.
        XmguardError: the tower's file is another one, or kept pictures are damaged.
    """
    device = one_device()
    out.mkdir(parents=True, exist_ok=True)
    keep_recipe(out, recipe)
    if not resume:
        checkpoints.start_over(out, [stage.name for stage in recipe.stages])
    base = SmolLM2().pull(tell)
    vision = SmolVlmTinyVisionConfig()
    processor = make_processor(base, vision)
    state = published_tower(vision.stages, tower)
    torch.manual_seed(recipe.seed)  # of the first weights: the projector's here, the adapter's below
    model = make_model(base, vision, processor.tokenizer, state)
    eyes = model.model.vision_tower.to(device)
    taught, held_out = _look(recipe, out, eyes, processor, vision)
    tell(f"{len(taught.rows)} examples, {sum(row.tokens for row in taught.rows) / len(taught.rows):.0f} tokens each")
    # Before the learner, which takes the language model apart.
    table = model.model.language_model.embed_tokens.weight.detach()
    grounder = Grounder(model.model.projector, table, taught.grounded, recipe)
    learner = Learner(model, recipe)
    grounding, adapter = recipe.stages
    learn = partial(train_stage, recipe=recipe, out=out, save_minutes=save_minutes, tell=tell)
    _, spent = learn(
        grounder,
        taught.grounded,
        partial(grounder.collate, features=taught.gallery.features),
        grounding,
        validate=partial(recognised, grounder, grounder.collate(held_out.grounded, held_out.gallery.features)),
    )
    tell(f"{grounding.name}: {spent.tokens_spent} cells in {spent.seconds_spent / 60:.1f} minutes")
    pack = partial(collate, image_token=processor.image_token_id)
    newest, spent = learn(
        learner,
        taught.rows,
        partial(pack, features=taught.gallery.features),
        adapter,
        validate=partial(answered, learner, held_out.rows, partial(pack, features=held_out.gallery.features)),
    )
    tell(f"{adapter.name}: {spent.tokens_spent} tokens in {spent.seconds_spent / 60:.1f} minutes, {newest}")
    draw_log(out / checkpoints.LOG, out / "log.png")


def _look(recipe: Recipe, out: Path, eyes: Any, processor: Any, vision: Any) -> tuple[_Pictures, _Pictures]:
    """What is learned from and what is validated on, drawn where it is not there yet."""
    prompter = Prompter(processor, load_plugins())

    def kept(folder: Path, split: str, seed: int, count: int) -> tuple[Gallery, list[Grounded]]:
        drawn = pictures(style=recipe.style, split=split, seed=seed, count=count, size=vision.image_size)
        keep_features(drawn, count, folder, eyes, processor)
        gallery = Gallery(folder, count)
        return gallery, [
            labelled(seen.marks, index, vision.grid, prompter.words, recipe.covered)
            for index, seen in enumerate(gallery.seen)
        ]

    gallery, grounded = kept(out / "train", "train", recipe.seed, recipe.pictures)
    unseen, to_recognise = kept(out / "validation", "test", VALIDATION_SEED, recipe.validated)
    others = scenes(split="train", seed=recipe.seed + 1, count=2 * recipe.pictures)
    rows = conversations(gallery.seen, others, prompter, recipe)
    if not rows:
        raise SetupIncomplete(f"nothing is asked about the {recipe.pictures} pictures; draw more of them")
    asked = [prompter.conversation([None], seen.asked, index) for index, seen in enumerate(unseen.seen)]
    return _Pictures(gallery, grounded, rows), _Pictures(unseen, to_recognise, asked)
