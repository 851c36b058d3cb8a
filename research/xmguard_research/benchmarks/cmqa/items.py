"""Items: a question over two sources, each a scene that is drawn or told, contradicting each other or not.

A triple is a scene, its twin with one fact changed, and the question about that fact. Each of the two stands at either
place in as many conflicts as controls, so that no source alone gives the label away. Draws nothing; knows no style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from xmguard.errors import InvalidRequest
from xmguard.parts import IMAGE, TEXT
from xmguard_research.benchmarks import lines
from xmguard_research.benchmarks.cmqa.telling import Telling, telling
from xmguard_research.scenes import KINDS, SKILLS, Scene
from xmguard_research.scenes.twins import Twins, twins

SPLIT = "test"
SEED = 1
"""Of the published suite; the yardstick of the verdict is drawn from seed 0."""
TRIPLES = 500
VARIANTS = ("text-image", "image-text", "text-text", "image-image")
"""Modalities in the order in which they are read."""
PAIRS = ("ab", "ba", "aa", "bb")
"""Which of the twins, a or b, each source is about: two conflicts and their two controls."""


@dataclass(frozen=True)
class Source:
    """A scene, drawn or told."""

    scene: Scene
    """Also determines the picture but for its style."""
    answer: str
    told: Telling | None
    """None of a picture."""

    @property
    def modality(self) -> str:
        """`text` or `image`."""
        return TEXT if self.told else IMAGE


@dataclass(frozen=True)
class Item:
    """A question over two sources, in the order in which they are read."""

    id: str
    triple: str
    """Items of one triple stay together in folds and bootstrap draws. Begins with the skill."""
    skill: str
    """What the question asks for, one of `SKILLS`."""
    kind: str
    """Of the scenes, one of `KINDS`."""
    slot: str
    """Of the fact that was changed."""
    variant: str
    """One of `VARIANTS`."""
    pair: str
    """One of `PAIRS`."""
    question: str
    sources: tuple[Source, Source]

    @property
    def answers(self) -> tuple[str, str]:
        """What each source answers."""
        return self.sources[0].answer, self.sources[1].answer

    @property
    def conflict(self) -> bool:
        """Whether the sources answer the question differently."""
        return self.answers[0] != self.answers[1]


def items(
    count: int = TRIPLES,
    *,
    seed: int = SEED,
    variants: Sequence[str] = VARIANTS,
    kinds: Sequence[str] = KINDS,
    skills: Sequence[str] = SKILLS,
) -> Iterator[Item]:
    """Every triple in every variant and all of `PAIRS`.

    Two texts are of different wordings. Two pictures are drawn with different looks: places, sizes, backgrounds and
    typefaces differ wherever they say nothing, in a control as in a conflict.

    Args:
        count: how many triples.
        seed: of the series of scenes.
        variants: some of `VARIANTS`.
        kinds: of scenes, which take turns.
        skills: that questions may ask for.

    Raises:
        InvalidRequest: there is no such variant or kind, or no triple was asked for.
        ValueError: not so many scenes have a fact of these skills that can be changed.
    """
    unknown = [variant for variant in variants if variant not in VARIANTS]
    if unknown or not variants:
        raise InvalidRequest.field("variants", f"{unknown or 'nothing'} is not among {', '.join(VARIANTS)}")
    if count < 1:
        raise InvalidRequest.field("triples", f"must be 1 or more, not {count}")
    drawn = twins(count, split=SPLIT, seed=seed, kinds=kinds, skills=skills)
    return (
        _item(one, variant, pair, index) for index, one in enumerate(drawn) for variant in variants for pair in PAIRS
    )


def line(item: Item) -> bytes:
    """The item as JSON with its line feed: everything that determines it but the style of its pictures."""
    row = {
        "id": item.id,
        "triple": item.triple,
        "skill": item.skill,
        "kind": item.kind,
        "slot": item.slot,
        "variant": item.variant,
        "question": item.question,
        "sources": [_row(source) for source in item.sources],
        "conflict": item.conflict,
    }
    return lines.line(row)


def another_look(scene: Scene) -> Scene:
    """The scene drawn differently: nothing that it says is changed."""
    digest = blake2b(f"{scene.look}".encode(), digest_size=6).digest()
    return replace(scene, look=int.from_bytes(digest, "big"))


def _row(source: Source) -> dict[str, object]:
    row: dict[str, object] = {"modality": source.modality, "answer": source.answer}
    if source.told:
        return row | {"text": source.told.text, "start": source.told.start, "end": source.told.end}
    scene = source.scene
    return row | {"layout": scene.layout.name, "values": scene.values, "look": scene.look}


def _item(twins: Twins, variant: str, pair: str, index: int) -> Item:
    first, second = variant.split("-")
    # Wordings and looks take turns at the first place; a lone text or picture is of that whose turn it is.
    turns = index % 2, (index + 1) % 2 if first == second else index % 2
    sides = ["ab".index(letter) for letter in pair]
    sources = [
        _source(twins, side, modality, turn) for side, modality, turn in zip(sides, (first, second), turns, strict=True)
    ]
    return Item(
        id=f"{twins.name}/{variant}/{pair}",
        triple=twins.name,
        skill=twins.skill,
        kind=twins.scenes[0].kind,
        slot=twins.slot,
        variant=variant,
        pair=pair,
        question=twins.question,
        sources=(sources[0], sources[1]),
    )


def _source(twins: Twins, side: int, modality: str, turn: int) -> Source:
    scene, answer = twins.scenes[side], twins.answers[side]
    if modality == TEXT:
        return Source(scene, answer, telling(scene, twins.slot, turn))
    return Source(another_look(scene) if turn else scene, answer, None)
