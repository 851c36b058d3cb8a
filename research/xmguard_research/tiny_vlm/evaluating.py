"""What the finished model can do, by skill, against what can be had without looking and what reading has lost.

Pictures are of the test split, whose combinations of values were never trained on, in the style of training and in the
one that was held out. Exact match means the whole reply, letter case aside.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xmguard.plugins import Registry
from xmguard_research.results import lines
from xmguard_research.scenes import Picture, pictures, scenes
from xmguard_research.scenes.baseline import blind
from xmguard_research.tiny_vlm.answering import Asker, Prompted, prompts
from xmguard_research.tiny_vlm.examples import told
from xmguard_research.tiny_vlm.prompts import Asked, Prompter

SEED = 7
"""Of the pictures and texts that are asked about; training draws others, of the other split."""
RESAMPLES = 2000
CHAT = Path(__file__).parent / "chat.jsonl"
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Reply:
    """One question and what was said."""

    run: str
    """`noto`, `fluent shuffled`, `text smollm2`, and so on."""
    source: str
    """Id of the picture or text it is about: questions about one are resampled together."""
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
        """Whether the answer is somewhere in the reply."""
        return self.answer.casefold() in self.said.casefold()


def picture_runs(
    asker: Asker, registry: Registry, style: str, count: int, batch: int, tell: Tell, *, joint: bool
) -> list[Reply]:
    """Every question of `count` test pictures: alone, alone about another, and, if wanted, as the joint task."""
    drawn = list(pictures(style=style, split="test", seed=SEED, count=count))
    prompter = Prompter(asker.processor, registry)
    found = _ask(asker, prompter, style, drawn, drawn, batch, tell)
    found += _ask(asker, prompter, f"{style} shuffled", drawn, shuffled(drawn), batch, tell)
    if joint:
        found += _ask(asker, prompter, f"{style} joint", drawn, drawn, batch, tell, joint=True)
    return found


def shuffled(drawn: Sequence[Picture]) -> list[Picture]:
    """For each picture another of the same kind: what is asked makes sense, and the answer is elsewhere.

    Raises:
        ValueError: there is only one picture of some kind.
    """
    by_kind: dict[str, list[int]] = {}
    for index, one in enumerate(drawn):
        by_kind.setdefault(one.kind, []).append(index)
    if lone := [kind for kind, own in by_kind.items() if len(own) < 2]:
        raise ValueError(f"only one picture of {', '.join(lone)}; more pictures are needed")
    found = list(drawn)
    for own in by_kind.values():
        turned = random.Random(SEED).sample(own, len(own))
        for here, there in zip(turned, [*turned[1:], turned[0]], strict=True):
            found[here] = drawn[there]
    return found


def _ask(
    asker: Asker,
    prompter: Prompter,
    run: str,
    about: Sequence[Picture],
    shown: Sequence[Picture],
    batch: int,
    tell: Tell,
    *,
    joint: bool = False,
) -> list[Reply]:
    asked: list[Prompted] = []
    rows: list[Reply] = []
    for one, other in zip(about, shown, strict=True):
        questions = [Asked(each.text, each.answer, each.skill, joint) for each in one.questions]
        asked += prompts(prompter.conversation([None], questions, 0), other.image)
        rows += [Reply(run, one.id, each.skill, each.text, each.answer, "") for each in questions]
    said = asker.replies(asked, batch, tell)
    return [replace(row, said=reply) for row, reply in zip(rows, said, strict=True)]


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


def share(rows: Sequence[Reply], right: Callable[[Reply], bool] = lambda row: row.right) -> dict[str, float]:
    """Share of right replies with a 95% interval, by resampling pictures or texts."""
    by_source: dict[str, list[bool]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(right(row))
    hits = np.array([sum(own) for own in by_source.values()])
    asked = np.array([len(own) for own in by_source.values()])
    drawn = np.random.default_rng(SEED).integers(len(hits), size=(RESAMPLES, len(hits)))
    resampled = hits[drawn].sum(axis=1) / asked[drawn].sum(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "share": round(float(hits.sum() / asked.sum()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "questions": int(asked.sum()),
    }


def summary(rows: Sequence[Reply], train_scenes: int = 20_000) -> dict[str, Any]:
    """Shares by run and skill, and what is right without looking."""
    runs = list(dict.fromkeys(row.run for row in rows))
    found: dict[str, Any] = {"runs": {run: _by_skill([row for row in rows if row.run == run]) for run in runs}}
    learned = scenes(split="train", seed=0, count=train_scenes)
    majority = blind(learned, scenes(split="test", seed=SEED, count=2000))
    asked = sum(row.questions for row in majority)
    found["majority"] = {
        **{row.skill: round(row.by_wording, 4) for row in majority},
        "all": round(sum(row.by_wording * row.questions for row in majority) / asked, 4),
    }
    found["text_mentions"] = {
        run: share([row for row in rows if row.run == run], lambda row: row.mentions)
        for run in runs
        if run.startswith("text ")
    }
    return found


def _by_skill(rows: Sequence[Reply]) -> Mapping[str, dict[str, float]]:
    skills = sorted({row.skill for row in rows})
    return {**{skill: share([row for row in rows if row.skill == skill]) for skill in skills}, "all": share(rows)}
