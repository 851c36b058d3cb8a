"""A picture and a sentence: the same scene drawn twice with one fact changed, and that fact of either put into words.

Every picture and every sentence stands in as many conflicts as consistent pairs, so that neither alone gives the label
away. The control puts pictures of another scene in place. Scenes are of the test split; nothing is drawn before a
model is to look at it. Items are the same in both styles.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from random import Random

import numpy as np

from xmguard_research.scenes import Scene, draw
from xmguard_research.scenes.spec import sample
from xmguard_research.scenes.twins import Twins, twins
from xmguard_research.verdict.irrelevant import matching
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.splits import fold
from xmguard_research.verdict.words import content_words

YARDSTICK = "pictures"
PICTURE_FIRST, TEXT_FIRST = "picture first", "text first"
ORDERS = (PICTURE_FIRST, TEXT_FIRST)
SPLIT = "test"
_LANGUAGES = {PICTURE_FIRST: ("und", "en"), TEXT_FIRST: ("en", "und")}
_OTHERS, _TRIES = 500_000, 1000
"""Where the series of other scenes begins, and how many there are for an item."""
_DRAWN_KINDS = frozenset({"activity", "objects"})
"""The others consist of writing, and one writing may answer what is asked of another."""
_SHOWN_ANYWHERE = frozenset({"background", "food", "pet", "sky", "thing", "vehicle"})
"""Slots whose question a picture of something else may seem to answer; behind a sign there is a sky too."""


@dataclass(frozen=True)
class DrawnScene:
    """A picture of a pair."""

    scene: Scene
    style: str

    @property
    def spec(self) -> str:
        """Style, layout, values and look."""
        scene = self.scene
        return json.dumps([self.style, scene.layout.name, scene.items, scene.look], ensure_ascii=False)

    def png(self) -> bytes:
        """The picture as a PNG file; raises what `draw` raises."""
        stream = BytesIO()
        draw(self.scene, style=self.style).save(stream, "PNG")
        return stream.getvalue()


@dataclass(frozen=True)
class PictureItem(Twins):
    """Twins, and what is shown in their place by the control."""

    others: tuple[Scene, Scene]
    """Another scene of the same layout and the same with that slot changed; none of the four values is equal."""


def skill_of(pair: Pair) -> str:
    """What the question of a pair of this yardstick asks for, one of `SKILLS`."""
    return pair.item.split("-")[0]


def order_of(pair: Pair) -> str:
    """Which of `ORDERS` a pair is in."""
    return PICTURE_FIRST if pair.pictures[0] else TEXT_FIRST


def picture_items(count: int, *, seed: int = 0) -> list[PictureItem]:
    """Items of as many scenes, whose kinds take turns; the fact and the wordings are drawn.

    Raises:
        ValueError: more than half of the scenes say nothing that can be changed.
    """
    drawn = twins(count, split=SPLIT, seed=seed)
    return [PictureItem(**vars(one), others=_others(one, seed)) for one in drawn]


def four_way_pairs(items: Iterable[PictureItem], style: str) -> Iterator[Pair]:
    """Eight pairs an item: either picture with either sentence, in both orders."""
    for item in items:
        for order in ORDERS:
            yield from _four(item, item.scenes, style, f"{YARDSTICK}-{style}", order)


def shuffled_pairs(items: Iterable[PictureItem], style: str) -> Iterator[Pair]:
    """Four pairs an item, labelled as if its own pictures were there; shown are the other scene's.

    Whatever tells these labels does not come from what the picture says. Orders take turns.
    """
    for index, item in enumerate(items):
        yield from _four(item, item.others, style, f"{YARDSTICK}-{style}-shuffled", ORDERS[index % 2])


def with_conflicts(items: Sequence[PictureItem], style: str, *, seed: int = 0) -> Iterator[Pair]:
    """Pairs with a picture or sentence that does not speak to the question, next to the conflicts of the same items.

    Two an item: its own picture and a foreign sentence, a foreign picture and its own sentence; sides and orders are
    drawn. What is foreign is lent by an item of the same fold, whose kind cannot seem to answer; an item is lent at
    most twice. Items without a lender give none; `lent` says how many.
    """
    yardstick = f"{YARDSTICK}-{style}-irrelevant"
    generator = np.random.default_rng(seed)
    lenders = _lenders_by_fold(items, generator)
    for item in items:
        if item.name not in lenders:
            continue
        lender = lenders[item.name]
        for name, shown, told in (("own-foreign", item, lender), ("foreign-own", lender, item)):
            side, other = (int(generator.integers(2)) for _ in range(2))
            order = ORDERS[generator.integers(2)]
            scene, statement = shown.scenes[side], told.statements[other]
            yield _pair(item, scene, statement, style, yardstick, name, order, Label.UNDETERMINED)
        for order in ORDERS:
            yield from (pair for pair in _four(item, item.scenes, style, yardstick, order) if pair.conflict)


def lent(items: Sequence[PictureItem], *, seed: int = 0) -> str:
    """How many items `with_conflicts` leaves out, and why; a sentence."""
    kept = len(_lenders_by_fold(items, np.random.default_rng(seed)))
    return (
        f"Of {len(items)} items with a picture {kept} have something irrelevant beside them; the other "
        f"{len(items) - kept} ask for what any picture may seem to show, or none of their fold is foreign to them."
    )


def _others(twins: Twins, seed: int) -> tuple[Scene, Scene]:
    """A pair of scenes like the twins that no item has, and that says neither of their values.

    Raises:
        ValueError: none was found.
    """
    scene, slot, said = twins.scenes[0], twins.slot, set(twins.answers)
    first = _OTHERS + twins.number * _TRIES
    for index in range(first, first + _TRIES):
        other = sample(scene.layout, split=SPLIT, seed=seed, index=index)
        if slot not in other.values or other.fact(slot).answer in said:
            continue
        values = [value for value in other.alternatives(slot) if value.lower() not in said]
        if values:
            return other, other.with_fact(slot, Random(f"other of {scene.id}").choice(values))
    raise ValueError(f"{scene.id}: {_TRIES} other scenes of {scene.layout.name} have no fitting {slot}")


def _four(item: PictureItem, shown: tuple[Scene, Scene], style: str, yardstick: str, order: str) -> Iterator[Pair]:
    for picture, text in ((0, 1), (1, 0), (0, 0), (1, 1)):
        label = Label.CONSISTENT if picture == text else Label.CONFLICT
        name = f"p{picture}-t{text}"
        yield _pair(item, shown[picture], item.statements[text], style, yardstick, name, order, label)


def _pair(
    item: PictureItem, scene: Scene, statement: str, style: str, yardstick: str, name: str, order: str, label: Label
) -> Pair:
    picture = DrawnScene(scene, style)
    return Pair(
        f"{yardstick}|{item.name}|{name}|{order}",
        item.name,
        yardstick,
        item.question,
        ("", statement) if order == PICTURE_FIRST else (statement, ""),
        _LANGUAGES[order],
        label,
        (picture, None) if order == PICTURE_FIRST else (None, picture),
    )


def _lenders_by_fold(items: Sequence[PictureItem], generator: np.random.Generator) -> dict[str, PictureItem]:
    folds: dict[int, list[PictureItem]] = {}
    for item in items:
        folds.setdefault(fold(item.name), []).append(item)
    return {name: one for members in folds.values() for name, one in _lenders(members, generator).items()}


def _lenders(items: Sequence[PictureItem], generator: np.random.Generator) -> dict[str, PictureItem]:
    asking = [item for item in items if item.scenes[0].kind != "objects" and item.slot not in _SHOWN_ANYWHERE]
    if not asking:
        return {}
    lent = [*items, *items]
    allowed = np.array([[_is_foreign(item, other) for other in lent] for item in asking])
    found = matching(allowed, generator)
    return {item.name: lent[found[row]] for row, item in enumerate(asking) if allowed[row, found[row]]}


def _is_foreign(item: PictureItem, other: PictureItem) -> bool:
    """One of them is drawn and the other written, and the other's sentences share no word with the question."""
    asked = content_words(item.question)
    drawn = [one.scenes[0].kind in _DRAWN_KINDS for one in (item, other)]
    return drawn[0] != drawn[1] and bool(asked) and asked.isdisjoint(content_words(" ".join(other.statements)))
