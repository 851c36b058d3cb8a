"""Every number that decides what comes out of training, how long it lasts included.

What is drawn is of `xmguard_research.scenes`, the words of tasks of `examples` and `prompts`, the model's shape of
`xmguard_smolvlm_tiny.configuration`; training is in bfloat16 autocast.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from xmguard.errors import SetupIncomplete
from xmguard_research.tiny_vlm.budget import Budget

RECIPE = "recipe.json"
"""The file in a run's folder."""


@dataclass(frozen=True)
class Stage:
    """One pass of the optimiser over the budget's share."""

    name: str
    share: float
    """Of the budget."""
    projector_rate: float
    """Peak learning rate of the projector."""
    adapter_rate: float
    """Peak learning rate of the language model's adapter; grounding has none to train."""
    batch: int
    """Pictures a step, with everything that is asked of them."""


@dataclass(frozen=True)
class Recipe:
    """What is learned from, how, and for how long. Exactly one of `minutes` and `tokens` is set."""

    style: str = "noto"
    pictures: int = 14_000
    """Drawn for training; more than one pass costs nothing more, since their features are kept."""
    small_print: float = 0.4
    """Share of the documents, tables and paragraphs that are asked about: their letters are near what the tower
    can tell apart, and learning them at full weight takes the time of everything else. All of them are grounded."""
    texts: float = 0.07
    """Share of examples that hold sentences and no picture, so that reading is not unlearned."""
    mixed: float = 0.08
    """Share that holds a picture and the sentences of another scene, in either order, asked about either."""
    described: float = 0.15
    """Share of the lone pictures that are described in sentences, in place of the questions answered by yes or no:
    there are more words to learn from in a description, and every one is about what is seen."""
    joint: float = 0.25
    """Share of a lone picture's questions that are put as the joint answer's task, not as a span read alone."""
    covered: float = 0.3
    """In grounding, a cell says a word if their common area is at least this share of the smaller of the two."""
    dropped: float = 0.1
    """In grounding, share of the features that are left out at every look, so that no word hangs on one that another
    art style lacks."""
    shrunk: float = 0.3
    """In grounding, weight of the squared distance to the words' own embeddings, beside the cross-entropy."""
    sharpness: float = 2.0
    """In grounding, logarithm of what likeness is multiplied by to become a logit, at the start."""
    bias: float = -4.0
    """In grounding, what is added to every word's logit, at the start."""
    rank: int = 16
    alpha: int = 32
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Of the language model, that are adapted."""
    stages: tuple[Stage, ...] = (
        Stage("grounding", share=0.3, projector_rate=1.5e-3, adapter_rate=0.0, batch=64),
        Stage("adapter", share=0.7, projector_rate=2e-4, adapter_rate=5e-4, batch=8),
    )
    minutes: float | None = 78.0
    """Of both stages, without drawing; validation is in it."""
    tokens: int | None = None
    """Of the last stage, in place of minutes."""
    cells_for_a_token: int = 12
    """Grounded in the time in which the language model learns from one token, about, on two CPU cores."""
    validated: int = 56
    """Test pictures that are looked at, at every checkpoint."""
    warmup: float = 0.03
    """Share of a stage over which the learning rates rise; then they fall along a cosine to nothing."""
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    seed: int = 0

    def __post_init__(self) -> None:
        for stage in self.stages:
            self.budget(stage)

    @property
    def lora_scale(self) -> float:
        """An adapted weight is W + lora_scale * B A."""
        return self.alpha / self.rank

    def budget(self, stage: Stage) -> Budget:
        """A stage's part.

        Raises:
            ValueError: not exactly one of the bounds is set, or it bounds nothing.
        """
        last = self.stages[-1]
        cheap = 1 if stage is last else self.cells_for_a_token
        return Budget(
            minutes=None if self.minutes is None else round(self.minutes * stage.share, 6),
            tokens=None if self.tokens is None else round(self.tokens * cheap * stage.share / last.share),
        )


def as_json(recipe: Recipe) -> dict[str, Any]:
    """As its file has it."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return found


def read_recipe(run: Path) -> Recipe:
    """The recipe of a run's folder.

    Raises:
        SetupIncomplete: there is none, or it is of another version: what a run did not write down is not filled in.
    """
    file = run / RECIPE
    found = _read(file)
    if found is None:
        raise SetupIncomplete(f"{file} is missing; train first, or name the folder that `train` wrote")
    wanted = {one.name for one in fields(Recipe)}
    if wanted != set(found):
        lacking, strange = ", ".join(sorted(wanted - set(found))), ", ".join(sorted(set(found) - wanted))
        raise SetupIncomplete(
            f"{file} is of another version: it lacks {lacking or 'nothing'}, and has {strange or 'nothing'} that this "
            "version does not know; train in another folder, or export with the version that trained"
        )
    stages = tuple(Stage(**stage) for stage in found["stages"])
    tuples = {name: tuple(found[name]) for name in ("modules", "betas")}
    return Recipe(**{**found, **tuples, "stages": stages})


def keep_recipe(run: Path, recipe: Recipe) -> None:
    """Write it down, where nothing else is.

    Raises:
        SetupIncomplete: the folder was made with other settings.
    """
    file, wanted = run / RECIPE, as_json(recipe)
    found = _read(file)
    if found is not None and found != wanted:
        changed = [name for name in {**wanted, **found} if name not in found or found[name] != wanted.get(name)]
        raise SetupIncomplete(f"{file} was made with another {', '.join(changed)}; name another folder with --out")
    file.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _read(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SetupIncomplete(f"{file} is not JSON ({error}); name another folder") from error
    return found
