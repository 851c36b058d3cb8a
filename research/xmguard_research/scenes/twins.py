"""Twins: a scene and the same scene with one fact changed, and the question that they answer differently.

What a conflict between sources is made of. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from xmguard_research.scenes.pictures import KINDS, scenes
from xmguard_research.scenes.spec import SKILLS, Scene


@dataclass(frozen=True)
class Twins:
    """A question about a scene and about the same scene with another answer."""

    number: int
    """Of the scene in its series."""
    name: str
    """Begins with the skill that the question asks for."""
    slot: str
    """Of the fact that is changed."""
    question: str
    scenes: tuple[Scene, Scene]
    statements: tuple[str, str]
    """What each scene says, in the same words but for the value."""

    @property
    def skill(self) -> str:
        """What the question asks for, one of `SKILLS`."""
        return self.scenes[0].fact(self.slot).skill

    @property
    def answers(self) -> tuple[str, str]:
        """Of each scene."""
        first, second = (scene.fact(self.slot).answer for scene in self.scenes)
        return first, second


def twins(
    count: int, *, split: str, seed: int, kinds: Sequence[str] = KINDS, skills: Sequence[str] = SKILLS
) -> list[Twins]:
    """Twins of as many scenes, whose kinds take turns; the fact, one of `skills`, and the wordings are drawn.

    Raises:
        InvalidRequest: there is no such split or kind.
        ValueError: more than half of the scenes say nothing of the kind that can be changed.
    """
    series = scenes(split=split, seed=seed, count=2 * count, kinds=kinds)
    able = (made for number, scene in enumerate(series) if (made := of_scene(number, scene, skills)))
    found = list(islice(able, count))
    if len(found) < count:
        raise ValueError(f"{2 * count} scenes of seed {seed} make {len(found)} twins, not {count}; take another seed")
    return found


def of_scene(number: int, scene: Scene, skills: Sequence[str] = SKILLS) -> Twins | None:
    """Twins of one scene; None if it says nothing of these skills that can be changed. `number` is of its series."""
    slots = [fact.slot for fact in scene.facts if fact.skill in skills and scene.alternatives(fact.slot)]
    if not slots:
        return None
    random = Random(f"pair of {scene.id}")
    slot = random.choice(slots)
    twin = scene.with_fact(slot, random.choice(scene.alternatives(slot)))
    facts = scene.fact(slot), twin.fact(slot)
    asked, told = random.randrange(len(facts[0].questions)), random.randrange(len(facts[0].statements))
    return Twins(
        number=number,
        name=f"{facts[0].skill}-{scene.id}",
        slot=slot,
        question=facts[0].questions[asked],
        scenes=(scene, twin),
        statements=(facts[0].statements[told], facts[1].statements[told]),
    )
