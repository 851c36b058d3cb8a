"""What the finished model can do, by skill, against what can be had without looking and what reading has lost.

Pictures are of the test split, whose combinations of values were never trained on, in the style of training and in the
one that was held out. Exact match means the whole reply, letter case aside.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from xmguard.plugins import Registry
from xmguard_research.metrics import share
from xmguard_research.results import lines
from xmguard_research.scenes import SKILLS, Scene, draw, scenes
from xmguard_research.scenes.baseline import Guesses
from xmguard_research.scenes.objects import SHAPES_LAYOUT
from xmguard_research.tiny_vlm.answering import Asker, Prompted, prompts
from xmguard_research.tiny_vlm.examples import SMALL_PRINT, told
from xmguard_research.tiny_vlm.prompts import Asked, Prompter
from xmguard_research.tiny_vlm.recipe import Recipe

SEED = 7
"""Of the pictures and texts that are asked about; training draws others, of the other split."""
TRIES = 1000
"""Scenes to look through for every one that needs a substitute; one document in twenty has given fields."""
TRAIN_SCENES = 20_000
"""That the guesses without looking are learned from."""
NEW = "sign_new"
"""The skill that training leaves out: words that it never showed."""
READING = ("price", "sign")
CHAT = Path(__file__).parent / "chat.jsonl"
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Reply:
    """One question and what was said."""

    run: str
    """`noto`, `fluent shuffled`, `text smollm2`, and so on."""
    source: str
    """Id of the scene it is about, in whatever style: questions about one are resampled together."""
    skill: str
    question: str
    answer: str
    said: str

    @property
    def right(self) -> bool:
        """Exact match, letter case aside."""
        return self.said.casefold() == self.answer.casefold()

    @property
    def mentions(self) -> bool:
        """Whether the reply holds the answer as words of its own: no `key` in `monkey`, no `3` in `13` or `3.50`."""
        words = re.escape(self.answer.casefold())
        return re.search(rf"(?<!\w)(?<!\d[.,:]){words}(?!\w)(?![.,:]\d)", self.said.casefold()) is not None


def holds_art(scene: Scene) -> bool:
    """Does its picture depend on the style? Others are of letters and coloured shapes alone."""
    return scene.kind not in SMALL_PRINT and scene.layout.name != SHAPES_LAYOUT.name


def picture_runs(
    asker: Asker, registry: Registry, style: str, count: int, batch: int, tell: Tell, *, joint: bool
) -> list[Reply]:
    """Every question of test pictures: alone, alone about another picture, and, if wanted, as the joint task.

    There are `count` pictures in the style of training; in the other, those of the same scenes that hold art.
    """
    about = [one for one in scenes(split="test", seed=SEED, count=count) if style == Recipe.style or holds_art(one)]
    prompter = Prompter(asker.processor, registry)
    own = [draw(one, style=style) for one in about]
    found = _ask(asker, prompter, style, about, own, batch, tell)
    others = [draw(one, style=style) for one in substitutes(about)]
    found += _ask(asker, prompter, f"{style} shuffled", about, others, batch, tell)
    if joint:
        found += _ask(asker, prompter, f"{style} joint", about, own, batch, tell, joint=True)
    return found


def substitutes(about: Sequence[Scene]) -> list[Scene]:
    """For each scene one of another series, of the same layout and with the same fields.

    What is asked can be asked of it, except that a question may name a thing which it does not show. Its answer is
    the right one by chance alone.

    Raises:
        ValueError: there is none.
    """
    waiting: defaultdict[tuple[str, frozenset[str]], list[int]] = defaultdict(list)
    for index, scene in enumerate(about):
        waiting[_form(scene)].append(index)
    found: dict[int, Scene] = {}
    kinds = list(dict.fromkeys(scene.kind for scene in about))
    for other in scenes(split="test", seed=SEED + 1, count=TRIES * len(about), kinds=kinds):
        if own := waiting.get(_form(other)):
            found[own.pop()] = other
            if len(found) == len(about):
                return [found[index] for index in range(len(about))]
    lacking = sorted(layout for (layout, _), own in waiting.items() if own)
    raise ValueError(f"no test scene has the fields of one of {', '.join(lacking)}")


def _form(scene: Scene) -> tuple[str, frozenset[str]]:
    return scene.layout.name, frozenset(scene.values)


def _ask(
    asker: Asker,
    prompter: Prompter,
    run: str,
    about: Sequence[Scene],
    shown: Sequence[Image],
    batch: int,
    tell: Tell,
    *,
    joint: bool = False,
) -> list[Reply]:
    asked: list[Prompted] = []
    rows: list[Reply] = []
    for scene, image in zip(about, shown, strict=True):
        questions = [Asked(each.text, each.answer, each.skill, joint) for each in scene.questions]
        asked += prompts(prompter.conversation([None], questions, 0), image)
        rows += [Reply(run, scene.id, each.skill, each.text, each.answer, "") for each in questions]
    said = asker.replies(asked, batch, tell)
    return [replace(row, said=reply) for row, reply in zip(rows, said, strict=True)]


def guessed_run(count: int, tell: Tell, train_scenes: int = TRAIN_SCENES) -> list[Reply]:
    """The questions of the run `noto`, answered from their words: the most frequent answer in training."""
    guesses = Guesses(scenes(split="train", seed=0, count=train_scenes))
    rows = [
        Reply("guessed", scene.id, each.skill, each.text, each.answer, guesses.by_wording(each))
        for scene in scenes(split="test", seed=SEED, count=count)
        for each in scene.questions
    ]
    tell(len(rows))
    return rows


def text_run(
    asker: Asker, processor: Any, registry: Registry, name: str, count: int, batch: int, tell: Tell
) -> list[Reply]:
    """Questions about sentences, without any picture, for a model that sees or one that only reads."""
    prompter = Prompter(processor, registry)
    generator = random.Random(SEED)
    asked: list[Prompted] = []
    rows: list[Reply] = []
    for scene in scenes(split="test", seed=SEED, count=count):
        text, about = told(scene, generator)
        asked += prompts(prompter.conversation([text], about), None)
        rows += [Reply(f"text {name}", scene.id, each.skill, each.text, each.answer, "") for each in about]
    said = asker.replies(asked, batch, tell)
    return [replace(row, said=reply) for row, reply in zip(rows, said, strict=True)]


def chat_score(asker: Asker) -> dict[str, float]:
    """Mean log-likelihood (nats a token) of the replies of a fixed chat, and over how many tokens."""
    scores = [score for row in lines(CHAT) for score in asker.log_likelihood(row["ask"], row["reply"])]
    return {"nats_per_token": round(float(np.mean(scores)), 4), "tokens": len(scores)}


def counted(rows: Sequence[Reply], right: Callable[[Reply], bool] = lambda row: row.right) -> dict[str, float]:
    """Share of right replies with its 95% interval over sources, and how many there are of both.

    Raises:
        ValueError: there are no replies.
    """
    sources = [row.source for row in rows]
    found = share([right(row) for row in rows], sources)
    if found.value is None or found.low is None or found.high is None:
        raise ValueError("no replies to count")
    return {
        "share": round(found.value, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "sources": len(set(sources)),
        "questions": len(rows),
    }


def summary(rows: Sequence[Reply]) -> dict[str, Any]:
    """Shares by run and skill, those that the model was made for, and replies to texts that hold the answer."""
    by_run: dict[str, list[Reply]] = {}
    for row in rows:
        by_run.setdefault(row.run, []).append(row)
    drawn = {row.source for row in by_run["fluent"]}
    seen = {name: [row for row in by_run[name] if row.skill != NEW] for name in ("noto", "fluent")}
    aims = {
        "noto": seen["noto"],
        "noto, art": [row for row in seen["noto"] if row.source in drawn],
        "fluent": seen["fluent"],
        **{f"reading {name}": [row for row in own if row.skill in READING] for name, own in seen.items()},
    }
    return {
        "runs": {run: _by_skill(own) for run, own in by_run.items()},
        "aims": {name: counted(own) for name, own in aims.items()},
        "text_mentions": {
            run: counted(own, lambda row: row.mentions) for run, own in by_run.items() if run.startswith("text ")
        },
    }


def _by_skill(rows: Sequence[Reply]) -> Mapping[str, dict[str, float]]:
    skills = sorted({row.skill for row in rows}, key=SKILLS.index)
    return {**{skill: counted([row for row in rows if row.skill == skill]) for skill in skills}, "all": counted(rows)}
