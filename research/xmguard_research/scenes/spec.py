"""What a scene says, as pure values: slots and their values, the facts and questions that follow, and the split.

Knows neither art nor how anything is drawn: a layout brings its own drawing function, which is only called elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmguard_research.scenes.canvas import Canvas

SPLITS = ("train", "test")
HELD_OUT_ONE_IN = 4
"""Of all combinations of values, this share is in the test split alone."""
SKILLS = (
    "activity",
    "object",
    "count",
    "colour",
    "position",
    "presence",
    "price",
    "sign",
    "sign_new",
    "document",
    "table",
    "paragraph",
)
Values = Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """A question that the picture answers."""

    text: str
    answer: str
    """A few words in lower case, digits, or a price: `surfing`, `3`, `$4.50`."""
    skill: str
    """One of `SKILLS`."""


@dataclass(frozen=True)
class Fact:
    """One thing that a scene says and could say otherwise."""

    slot: str
    """Name of the value that it states; unique in its scene."""
    skill: str
    answer: str
    """In lower case, as `Question.answer`."""
    questions: tuple[str, ...]
    """At least three wordings of the same question."""
    statements: tuple[str, ...]
    """At least three sentences that state it, each alone."""


@dataclass(frozen=True)
class Slot:
    """One value of a layout. Templates name any value of the scene, or a phrase made from one, in braces."""

    name: str
    skill: str
    domain: tuple[str, ...]
    questions: tuple[str, ...]
    statements: tuple[str, ...]


def _nothing(values: Values) -> dict[str, str]:
    return {}


def _no_more(values: Values, random: Random) -> list[Question]:
    return []


def _always(values: Values) -> bool:
    return True


@dataclass(frozen=True)
class Layout:
    """A way to say some values in a picture."""

    name: str
    """Unique, and begins with its kind."""
    kind: str
    slots: tuple[Slot, ...]
    """What it may say. A scene need not fill all of them."""
    propose: Callable[[Random, str], dict[str, str]]
    """Values drawn at random for a split; proposed again until they are possible and belong to the split."""
    together: tuple[tuple[str, ...], ...]
    """Names of values whose combination is held out from training; every one of them decides by itself."""
    draw: Callable[[Canvas, Scene], None]
    phrases: Callable[[Values], dict[str, str]] = _nothing
    """More words for templates, made from the values."""
    more: Callable[[Values, Random], list[Question]] = _no_more
    """Further questions, whose answers follow from the values."""
    possible: Callable[[Values], bool] = _always
    """False if the values would make a question ambiguous."""
    splits: tuple[str, ...] = SPLITS

    def belongs(self, values: Values, split: str) -> bool:
        """Are they possible, and is every combination of them held out in `test`, and none in `train`?"""
        return self.possible(values) and all(self._in_split(names, values, split) for names in self.together)

    def alternatives(self, values: Values, slot: Slot, split: str) -> tuple[str, ...]:
        """What else the slot can hold if the other values stay, given that these belong to the split."""
        touched = [names for names in self.together if slot.name in names and len(names) > 1]
        alone = (slot.name,) in self.together
        domain = of_split(self.name, slot.domain, split) if alone else slot.domain
        changed = ((value, {**values, slot.name: value}) for value in domain if value != values[slot.name])
        return tuple(
            value
            for value, others in changed
            if self.possible(others) and all(self._in_split(names, others, split) for names in touched)
        )

    def _in_split(self, names: tuple[str, ...], values: Values, split: str) -> bool:
        """True too if the scene leaves one of the names out."""
        if not all(name in values for name in names):
            return True
        return held_out(self.name, *(values[name] for name in names)) is (split == "test")


@lru_cache(maxsize=65536)
def held_out(*values: str) -> bool:
    """Is this combination of values kept out of training? Decided by its hash, the same in every version of Python."""
    digest = blake2b("\n".join(values).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_ONE_IN == 0


@lru_cache(maxsize=256)
def of_split(layout: str, domain: tuple[str, ...], split: str) -> tuple[str, ...]:
    """The values of a domain that belong to a split where they are held out one by one."""
    return tuple(value for value in domain if held_out(layout, value) is (split == "test"))


@dataclass(frozen=True)
class Scene:
    """Everything that determines a picture but the art style and the size."""

    id: str
    split: str
    layout: Layout = field(repr=False)
    items: tuple[tuple[str, str], ...]
    """Names of slots with their values."""
    look: int
    """Seed of whatever is drawn at random and says nothing: jitter, backgrounds, typefaces."""

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return self.layout.kind

    @cached_property
    def values(self) -> dict[str, str]:
        """`items` as a dictionary."""
        return dict(self.items)

    def random(self, purpose: str) -> Random:
        """A generator of its own for every purpose, so that a twin differs only in what its fact changes."""
        return Random(f"{self.look}:{purpose}")

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """What it says; none follows from the others."""
        words = {**self.values, **self.layout.phrases(self.values)}
        return tuple(self._fact(slot, words) for slot in self.layout.slots if slot.name in self.values)

    def _fact(self, slot: Slot, words: Values) -> Fact:
        return Fact(
            slot=slot.name,
            skill=slot.skill,
            answer=self.values[slot.name].lower(),
            questions=tuple(_sentence(template, words) for template in slot.questions),
            statements=tuple(_sentence(template, words) for template in slot.statements),
        )

    def fact(self, slot: str) -> Fact:
        """The fact of that slot.

        Raises:
            KeyError: the scene says nothing of the kind.
        """
        for fact in self.facts:
            if fact.slot == slot:
                return fact
        raise KeyError(f"{self.id} has no fact {slot!r}; it has {', '.join(fact.slot for fact in self.facts)}")

    def alternatives(self, slot: str) -> tuple[str, ...]:
        """Values that `with_fact` can put into that slot without leaving the split; now and then there are none.

        Raises:
            KeyError: the scene says nothing of the kind.
        """
        self.fact(slot)
        (known,) = (one for one in self.layout.slots if one.name == slot)
        return self.layout.alternatives(self.values, known, self.split)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """One question for every fact, its wording drawn at random, and those that follow from several values."""
        random = self.random("questions")
        asked = [Question(random.choice(fact.questions), fact.answer, fact.skill) for fact in self.facts]
        return (*asked, *self.layout.more(self.values, random))

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Two statements of every fact, in other words each."""
        random = self.random("sentences")
        return tuple(text for fact in self.facts for text in random.sample(fact.statements, 2))

    def with_fact(self, slot: str, value: str) -> Scene:
        """The same scene, drawn alike, but with another value in one slot; its other facts keep their answers.

        Raises:
            KeyError: the scene says nothing of the kind.
            ValueError: the value is not among the slot's `alternatives`.
        """
        possible = self.alternatives(slot)
        if value not in possible:
            raise ValueError(
                f"{slot} of {self.id} cannot be {value!r}; it can be {', '.join(possible) or 'nothing else'}"
            )
        items = tuple((name, value if name == slot else old) for name, old in self.items)
        return replace(self, id=f"{self.id}/{slot}={value}", items=items)


def sample(layout: Layout, *, split: str, seed: int, index: int) -> Scene:
    """Scene number `index` of a series."""
    id_ = f"{split}-{seed}-{index:06d}"
    random = Random(id_)
    look = random.getrandbits(48)
    values = layout.propose(random, split)
    while not layout.belongs(values, split):
        values = layout.propose(random, split)
    return Scene(id=id_, split=split, layout=layout, items=tuple(values.items()), look=look)


def asked(random: Random, wordings: Sequence[str], answer: str, skill: str) -> Question:
    """A question in one of several wordings."""
    return Question(_capital(random.choice(wordings)), answer.lower(), skill)


def _sentence(template: str, words: Values) -> str:
    return _capital(template.format_map(words))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
