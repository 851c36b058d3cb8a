"""The problems: three kinds of sums, each sound, and flawed in seven ways.

A problem is a few sentences and a query. Its first fact is told in words, or shown in a picture to which the words
refer. Knows no prompt and no judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from xmguard_research.scenes import Scene
from xmguard_research.scenes.concepts import NAMES, THINGS, Thing, a
from xmguard_research.scenes.lettering import PRICE
from xmguard_research.scenes.objects import SEVERAL, SHAPES_LAYOUT
from xmguard_research.scenes.spec import Layout, sample

CATEGORIES = ("exclusive", "irrelevant", "lacking", "wording", "misuse", "unclear", "misguided")
"""Two premises exclude each other; one has nothing to do with the question; one is missing; one is put into words that
mean nothing; a term is used of what has none of it; it is open which thing is meant; a step of the reasoning is wrong.
"""
ASIDES = (
    "The walls of the room are green.",
    "It has been raining since the morning.",
    "The radio is playing a waltz.",
    "{name}'s sister is learning Italian.",
    "Lunch will be at noon.",
    "The window faces the harbour.",
)
FIRST, APART = 1_000_000, 2_000
"""Where the series of scenes begins, and how many there are for an item."""


@dataclass(frozen=True)
class Wording:
    """The sentences of one problem; what is not used in a category stays unused."""

    told: str
    """The first fact, in words."""
    shown: str
    """Refers to the picture that shows it."""
    step: str
    query: str
    also: str
    """States another value of the first fact."""
    claims: str
    """The same, of the picture."""
    vague: str
    """The step without its number."""
    garbled: str
    unit: str
    """The unit that `garbled` misplaces."""
    misused: str
    term: str
    """The word that `misused` uses of what has none of it."""
    second: str
    """Brings in another thing of the kind."""
    either: str
    """A step about one of the two things, without saying which."""
    chosen: str
    """The same step about one that is named."""
    which: str
    """The query after it."""
    wrong: str
    """A step of the reasoning that does not follow."""
    right: str
    answers: tuple[int, int]
    """By the first fact, and by `also`."""


@dataclass(frozen=True)
class Item:
    """A problem of one category."""

    id: str
    category: str
    family: str
    scene: Scene
    """Shows the first fact."""
    words: Wording
    aside: str

    def text(self, *, flawed: bool, pictured: bool) -> str:
        """The problem; `pictured`, its first fact is in the picture."""
        words = self.words
        given = words.shown if pictured else words.told
        told = {
            "exclusive": [words.claims, words.step] if pictured else [given, words.also, words.step],
            "irrelevant": [given, self.aside, words.step],
            "lacking": [given, words.vague],
            "wording": [given, words.garbled],
            "misuse": [given, words.misused],
            "unclear": [given, words.second, words.either],
            "misguided": [given, words.step, words.wrong],
        }
        sound = {
            "unclear": [given, words.second, words.chosen],
            "misguided": [given, words.step, words.right],
        }
        return " ".join(told[self.category] if flawed else sound.get(self.category, [given, words.step]))

    @property
    def query(self) -> str:
        """The question, the same in both forms."""
        return self.words.which if self.category == "unclear" else self.words.query


def items(per_category: int, *, seed: int) -> list[Item]:
    """So many of each category; the three kinds of sums take turns."""
    made = []
    for which, category in enumerate(CATEGORIES):
        for number in range(per_category):
            family = tuple(_FAMILIES)[number % len(_FAMILIES)]
            layout, fits, worded = _FAMILIES[family]
            random = Random(f"iseval/{seed}/{category}/{number}")
            scene = _scene(layout, fits, seed, FIRST + APART * (which + len(CATEGORIES) * number))
            name = random.choice(NAMES)
            made.append(
                Item(
                    id=f"{category}-{number:02d}",
                    category=category,
                    family=family,
                    scene=scene,
                    words=worded(scene, name, random),
                    aside=random.choice(ASIDES).format(name=name),
                )
            )
    return made


def _scene(layout: Layout, fits: Callable[[Mapping[str, str]], bool], seed: int, first: int) -> Scene:
    for index in range(first, first + APART):
        scene = sample(layout, split="test", seed=seed, index=index)
        if fits(scene.values):
            return scene
    raise ValueError(f"none of {APART} scenes of {layout.name} from {first} fits")


def _several(values: Mapping[str, str]) -> bool:
    return int(values["count"]) >= 3


def _euros(values: Mapping[str, str]) -> bool:
    return values["price"].startswith("€")


def _squares(values: Mapping[str, str]) -> bool:
    return values["shape"] == "square" and int(values["count"]) >= 2


def _card(scene: Scene, name: str, random: Random) -> Wording:
    """Things on a card, some of which are covered."""
    shown = int(scene.values["count"])
    thing, other = THINGS[scene.values["thing"]], _another(scene.values["thing"], random)
    # Neither result is a number that the problem names: who quotes the problem gives no result.
    covered = random.choice([n for n in range(1, shown - 1) if shown != 2 * n])
    claimed = random.choice([n for n in range(6, 12) if n - covered not in (shown, covered)])
    more = random.randint(2, 6)
    many = thing.plural
    return Wording(
        told=f"A card shows {shown} {many}.",
        shown=f"The picture is a card with {many} on it.",
        step=f"{name} covers {covered} of them.",
        query=f"How many {many} can still be seen?",
        also=f"There are {claimed} {many} on this card and no others.",
        claims=f"The picture is a card with {claimed} {many} on it.",
        vague=f"{name} covers some of them.",
        garbled=f"{name} covers {covered} hours of them.",
        unit="hours?",
        misused=f"{name} covers a radius of {covered} of them.",
        term="radius",
        second=f"A second card shows {more} {other.plural}.",
        either=f"{name} turns over one of the two cards, so that nothing on it can be seen.",
        chosen=f"{name} turns over the second card, so that nothing on it can be seen.",
        which="How many things can still be seen on the cards?",
        wrong=f"Covering {covered} of them adds {covered}, so {shown + covered} {many} can still be seen.",
        right=f"Covering {covered} of them takes away {covered}, so {shown - covered} {many} can still be seen.",
        answers=(shown - covered, claimed - covered),
    )


def _tag(scene: Scene, name: str, random: Random) -> Wording:
    """A thing with a price, of which several are bought."""
    price = int(scene.values["price"][1:])
    thing, other = THINGS[scene.values["thing"]], _another(scene.values["thing"], random)
    bought = random.randint(2, 9)
    named = (price, bought)
    claimed = random.choice(
        [n for n in range(2, 100) if abs(n - price) > 2 and n * bought not in named and price * bought != n]
    )
    one, many = thing.name, thing.plural
    return Wording(
        told=f"The tag of {a(one)} says €{price}.",
        shown=f"The picture shows {a(one)} and the price of one of them.",
        step=f"{name} buys {bought} {many} at this price.",
        query=f"How many euros does {name} pay?",
        also=f"The same tag says that the {one} costs €{claimed}.",
        claims=f"The picture shows that {a(one)} costs €{claimed}.",
        vague=f"{name} buys some {many} at this price.",
        garbled=f"{name} buys {bought} kilometres {many} of at this price.",
        unit="kilometres?|kilometers?|km",
        misused=f"{name} buys a diagonal of {bought} {many} at this price.",
        term="diagonal",
        second=f"Next to it there is {a(other.name)} for €{claimed}.",
        either=f"{name} buys one of the two.",
        chosen=f"{name} buys the {other.name}.",
        which=f"How many euros does {name} pay?",
        wrong=f"One costs €{price}, so {bought} of them cost {price} + {bought} = {price + bought} euros.",
        right=f"One costs €{price}, so {bought} of them cost {price} x {bought} = {price * bought} euros.",
        answers=(price * bought, claimed * bought),
    )


def _sheet(scene: Scene, name: str, random: Random) -> Wording:
    """Squares on a sheet, and the ribbon around them."""
    shown = int(scene.values["count"])
    side = random.randint(2, 9)
    claimed, more = random.randint(6, 9), random.randint(2, 6)
    return Wording(
        told=f"A sheet shows {shown} squares.",
        shown="The picture is a sheet with squares on it.",
        step=f"Each square has a side of {side} cm.",
        query="How many centimetres of ribbon does it take to go once around every square?",
        also=f"There are {claimed} squares on this sheet and no others.",
        claims=f"The picture is a sheet with {claimed} squares on it.",
        vague="All of the squares are equally large.",
        garbled=f"Each square has a side of {side} minutes.",
        unit="minutes?",
        misused=f"Each square has a radius of {side} cm.",
        term="radius",
        second=f"A second sheet shows {more} circles.",
        either=f"{name} takes one of the two sheets.",
        chosen=f"{name} takes the second sheet.",
        which=f"How many shapes are on the sheet that {name} takes?",
        wrong=f"A square has three sides, so one of them takes 3 x {side} = {3 * side} cm.",
        right=f"A square has four sides, so one of them takes 4 x {side} = {4 * side} cm.",
        answers=(4 * side * shown, 4 * side * claimed),
    )


def _another(thing: str, random: Random) -> Thing:
    return THINGS[random.choice([name for name in THINGS if name != thing])]


_Worded = Callable[[Scene, str, Random], Wording]
_FAMILIES: Mapping[str, tuple[Layout, Callable[[Mapping[str, str]], bool], _Worded]] = {
    "card": (SEVERAL, _several, _card),
    "tag": (PRICE, _euros, _tag),
    "sheet": (SHAPES_LAYOUT, _squares, _sheet),
}
