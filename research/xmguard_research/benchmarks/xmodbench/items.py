"""Items: a scene as context and four as options, one of which has the asked value too. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from xmguard_research.scenes import Scene
from xmguard_research.scenes import activity as activities
from xmguard_research.scenes.lettering import PRICE, SIGN
from xmguard_research.scenes.objects import SEVERAL, SHAPES_LAYOUT
from xmguard_research.scenes.spec import Fact, Layout, sample

LETTERS = ("A", "B", "C", "D")
APART, WINDOW = 10_000, 500
"""Scenes of the series that an item may look at, and how many for one context: a few words have one colour alone."""


@dataclass(frozen=True)
class Subtask:
    """What is compared."""

    layout: Layout
    slot: str
    same: str
    """Names what context and right option have in common."""


SUBTASKS: Mapping[str, Subtask] = {
    "thing": Subtask(SEVERAL, "thing", "kind of thing"),
    "count": Subtask(SEVERAL, "count", "number of things"),
    "colour": Subtask(SHAPES_LAYOUT, "colour", "colour of the shapes"),
    "activity": Subtask(activities.LAYOUT, "activity", "activity"),
    "price": Subtask(PRICE, "price", "price"),
    "word": Subtask(SIGN, "word", "word on the sign"),
}


@dataclass(frozen=True)
class Item:
    """A context and four options, of which exactly one has the context's value."""

    id: str
    subtask: str
    context: Scene
    options: tuple[Scene, ...]
    right: int
    """Number of the option."""

    @property
    def question(self) -> str:
        """The same in every direction."""
        return (
            f"The first source is followed by four options, A, B, C and D, in this order. Which option has the same "
            f"{SUBTASKS[self.subtask].same} as the first source? Answer with one letter."
        )

    @property
    def context_text(self) -> str:
        """What the context says, in words."""
        return self._fact(self.context).statements[0]

    @property
    def option_texts(self) -> tuple[str, ...]:
        """What each option says, in other words than the context does."""
        return tuple(self._fact(scene).statements[1] for scene in self.options)

    @property
    def values(self) -> tuple[str, ...]:
        """Of the options, in their order."""
        return tuple(self._fact(scene).answer for scene in self.options)

    def _fact(self, scene: Scene) -> Fact:
        return scene.fact(SUBTASKS[self.subtask].slot)


def items(per_subtask: int, *, seed: int) -> list[Item]:
    """So many of each subtask, from scenes of the test split; the right letters take turns."""
    made = []
    for which, name in enumerate(SUBTASKS):
        for number in range(per_subtask):
            random = Random(f"xmodbench/{seed}/{name}/{number}")
            context, twin, others = _scenes(SUBTASKS[name], seed, 2_000_000 + APART * (which + len(SUBTASKS) * number))
            right = (number + which) % len(LETTERS)
            random.shuffle(others)
            options = (*others[:right], twin, *others[right:])
            made.append(Item(f"{name}-{number:02d}", name, context, options, right))
    return made


def _scenes(subtask: Subtask, seed: int, first: int) -> tuple[Scene, Scene, list[Scene]]:
    """The first context that has what it needs.

    Raises:
        ValueError: none of the item's scenes has.
    """
    for start in range(first, first + APART, WINDOW):
        context = sample(subtask.layout, split="test", seed=seed, index=start)
        found = _beside(context, subtask, seed, start)
        if found is not None:
            return context, *found
    raise ValueError(f"no scene of {subtask.layout.name} from {first} on has four options for its {subtask.slot}")


def _beside(context: Scene, subtask: Subtask, seed: int, start: int) -> tuple[Scene, list[Scene]] | None:
    """Another scene with the context's value, and three with three other values; None if the window has none.

    The other scene shares nothing else with the context, so that no likeness but the asked one tells it.
    """
    value = context.values[subtask.slot]
    twin, others = None, dict[str, Scene]()
    for index in range(start + 1, start + WINDOW):
        scene = sample(subtask.layout, split="test", seed=seed, index=index)
        own = scene.values[subtask.slot]
        if own == value:
            shared = any(context.values.get(name) == one for name, one in scene.items if name != subtask.slot)
            twin = twin or (None if shared else scene)
        elif len(others) < len(LETTERS) - 1:
            others.setdefault(own, scene)
        if twin is not None and len(others) == len(LETTERS) - 1:
            return twin, list(others.values())
    return None
