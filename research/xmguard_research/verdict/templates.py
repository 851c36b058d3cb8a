"""Invented facts of fifteen kinds, as four-way items: every claim in two independent phrasings.

The four statements of an item are of four different phrasings, and in half of the items both phrasings of a claim also
name its answer differently ("12", "twelve"), as the opposing ones then do: neither the wording nor, there, the literal
answer gives the label away. English only, and simple; a rule that knows these templates would solve them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from xmguard_research.verdict.statements import Item

YARDSTICK = "templates"
ITEMS = 100


class _Family(Protocol):
    """Questions of one kind."""

    @property
    def things(self) -> Sequence[str]:
        """What its questions are about."""
        ...

    def item(self, name: str, thing: str, generator: np.random.Generator) -> Item:
        """One question about a thing, with its four statements."""
        ...


@dataclass(frozen=True)
class _Open:
    """A question with many possible answers; `{x}` is the thing, `{v}` the answer."""

    question: str
    phrasings: Sequence[str]
    things: Sequence[str]
    answers: Sequence[tuple[str, str]]
    """Two ways of naming each."""

    def item(self, name: str, thing: str, generator: np.random.Generator) -> Item:
        right, wrong = (self.answers[index] for index in generator.permutation(len(self.answers))[:2])
        said = [self.phrasings[index] for index in generator.permutation(len(self.phrasings))[:4]]
        form = int(generator.integers(2))
        other = int(generator.integers(2))
        support = (said[0].format(x=thing, v=right[form]), said[1].format(x=thing, v=right[other]))
        contradict = (said[2].format(x=thing, v=wrong[form]), said[3].format(x=thing, v=wrong[other]))
        return Item(name, self.question.format(x=thing), support, contradict, (wrong[0], wrong[0]))


@dataclass(frozen=True)
class _Closed:
    """A question that is answered by yes or no; four phrasings of each."""

    question: str
    affirmed: Sequence[str]
    denied: Sequence[str]
    things: Sequence[str]

    def item(self, name: str, thing: str, generator: np.random.Generator) -> Item:
        sides = [(self.affirmed, "yes"), (self.denied, "no")]
        (right, _), (wrong, answer) = (sides[index] for index in generator.permutation(2))
        order = generator.permutation(len(self.affirmed))
        said = [right[order[0]], right[order[1]], wrong[order[2]], wrong[order[3]]]
        first, second, third, fourth = (phrasing.format(x=thing) for phrasing in said)
        return Item(name, self.question.format(x=thing), (first, second), (third, fourth), (answer, answer))


def template_items(count: int = ITEMS, *, seed: int = 0) -> list[Item]:
    """The first `count` items, neighbours of different kinds; what an item says depends on the seed and its name only.

    Raises:
        ValueError: there are not that many.
    """
    most = sum(len(family.things) for family in _FAMILIES.values())
    if not 0 < count <= most:
        raise ValueError(f"templates give 1 to {most} items, not {count}")
    return list(islice(_items(seed), count))


def _items(seed: int) -> Iterator[Item]:
    longest = max(len(family.things) for family in _FAMILIES.values())
    for place in range(longest):
        for number, (name, family) in enumerate(_FAMILIES.items()):
            if place < len(family.things):
                generator = np.random.default_rng([seed, number, place])
                yield family.item(f"{name}-{place}", family.things[place], generator)


def _forms(text: str) -> tuple[tuple[str, str], ...]:
    """Answers from a list: "a|b, c" is two, the first in two forms and the second in one."""
    pairs = (answer.split("|") for answer in text.split(", "))
    return tuple((forms[0], forms[-1]) for forms in pairs)


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_FAMILIES: dict[str, _Family] = {
    "count": _Open(
        "How many rooms does the {x} have?",
        (
            "The {x} has {v} rooms.",
            "Guests of the {x} can choose among {v} rooms.",
            "All {v} rooms of the {x} were renovated last winter.",
            "With {v} rooms the {x} is among the larger houses of the valley.",
            "A cleaner who starts work at the {x} has {v} rooms to learn.",
        ),
        _list(
            "Hotel Corvina, inn at Harrow Cross, hostel on Mill Street, guest house of Saint Brannock, lodge by Lake "
            "Orla, Hotel Meridian, manor of Westerdale, pension Edelgard"
        ),
        _forms(
            "12|twelve, 18|eighteen, 27|twenty-seven, 33|thirty-three, 46|forty-six, 52|fifty-two, 64|sixty-four, "
            "80|eighty"
        ),
    ),
    "date": _Open(
        "On which day does the {x} begin?",
        (
            "The {x} begins on {v}.",
            "To see the {x} from its first day one has to come on {v}.",
            "Posters all over town give {v} as the first day of the {x}.",
            "On {v} the mayor opens the {x}.",
            "The {x} starts on {v} and goes on for a week.",
        ),
        _list(
            "kite festival, book fair of Ludworth, harvest market, jazz week, chess tournament of Arnfeld, "
            "flower show, film festival of Porto Lume, lantern parade"
        ),
        _forms(
            "3 May|the third of May, 21 June|the twenty-first of June, 9 July|the ninth of July, "
            "14 August|the fourteenth of August, 2 September|the second of September, 30 October|the "
            "thirtieth of October, 11 March|the eleventh of March, 17 April|the seventeenth of April"
        ),
    ),
    "year": _Open(
        "In which year was the {x} built?",
        (
            "The {x} was built in {v}.",
            "Builders finished the {x} in {v}.",
            "A stone above the entrance says that the {x} was put up in {v}.",
            "The {x} has been standing since it was built in {v}.",
            "Records of the town date the construction of the {x} to {v}.",
        ),
        _list(
            "water tower of Elsmere, granary at Tolvey, old customs house, chapel of Saint Ivo, viaduct of Norrdal, "
            "mill on the Rushbeck, town gate of Varnow, pump house"
        ),
        _forms("1687, 1742, 1803, 1858, 1894, 1911, 1926, 1953"),
    ),
    "colour": _Open(
        "What colour is the {x}?",
        (
            "The {x} is {v}.",
            "Painters have given the {x} a coat of {v}.",
            "From far away one recognises the {x}, because it is {v} all over.",
            "Children draw the {x} with a {v} crayon, as it is in reality.",
            "On every postcard the {x} is {v}, and so it is when one stands before it.",
        ),
        _list(
            "lighthouse at Kerrin Head, ferry to Osterholm, school bus of Tarbury, door of the bakery, "
            "harbour crane of Vell, old fire engine, bandstand in the park, signal box at Dunmoor"
        ),
        _forms(
            "red|fire-engine red, blue|sky blue, green|grass green, yellow|lemon yellow, white|snow white, "
            "black|jet black, brown|chocolate brown, pink|rose pink"
        ),
    ),
    "city": _Open(
        "In which city is the {x}?",
        (
            "The {x} is in {v}.",
            "Whoever wants to visit the {x} has to travel to {v}.",
            "One of the sights of {v} is the {x}.",
            "The {x} moved to {v} long ago and never left.",
            "Schools from all over {v} send their classes to the {x}, a short walk away.",
        ),
        _list(
            "Museum of Buttons, Institute for Tides, Archive of Letters, Academy of Puppets, House of Umbrellas, "
            "School of Glassblowing, Library of Seeds, Hall of Clocks"
        ),
        _forms(
            "Lisbon|the capital of Portugal, Vienna|the capital of Austria, Oslo|the capital of Norway, "
            "Dublin|the capital of Ireland, Prague|the Czech capital, Madrid|the capital of Spain, "
            "Athens|the Greek capital, Ankara|the capital of Turkey"
        ),
    ),
    "person": _Open(
        "Who designed the {x}?",
        (
            "The {x} was designed by {v}.",
            "The plans for the {x} come from {v}.",
            "It was {v} who designed the {x}.",
            "A plaque thanks {v} for the design of the {x}.",
            "Students of architecture know {v} as the designer of the {x}.",
        ),
        _list(
            "opera house of Brennick, glass pavilion, market hall of Sorrel, city fountain, planetarium, "
            "concert hall of Lindau Quay, footbridge at Amberley, railway museum"
        ),
        _forms(
            "Anna Keller|the architect A. Keller, Tomas Berg|old Mr Berg, Lucia Romano|the architect Romano, "
            "Henrik Dahl|the late H. Dahl, Maria Costa|the architect M. Costa, Paul Novak|the engineer Novak, "
            "Irene Walsh|the young Ms Walsh, Samuel Okoro|the engineer S. Okoro"
        ),
    ),
    "sunday": _Closed(
        "Is the {x} open on Sundays?",
        (
            "The {x} is open on Sundays.",
            "Sunday visitors find the doors of the {x} open.",
            "One can go to the {x} every day of the week, Sundays included.",
            "On Sundays the {x} welcomes the public as on any other day.",
        ),
        (
            "The {x} is closed on Sundays.",
            "Sunday visitors find the doors of the {x} locked.",
            "One can go to the {x} from Monday to Saturday only.",
            "On Sundays the {x} gives its staff a day off and lets nobody in.",
        ),
        _list(
            "toy museum, swimming hall, garden centre, bakery on Quay Street, town archive, climbing hall, "
            "aquarium of Port Ellis, observatory"
        ),
    ),
    "dogs": _Closed(
        "May dogs come into the {x}?",
        (
            "Dogs may come into the {x}.",
            "The {x} lets visitors bring their dogs.",
            "A bowl of water at the entrance of the {x} stands ready for dogs, which are welcome.",
            "Nobody has to leave a dog outside the {x}.",
        ),
        (
            "Dogs may not come into the {x}.",
            "The {x} turns away visitors with dogs.",
            "A sign at the entrance of the {x} shows a dog, crossed out.",
            "Whoever has a dog must leave it outside the {x}.",
        ),
        _list(
            "Rosemary Café, botanical garden, castle of Ardmore, campsite at Silverstrand, art gallery, "
            "mountain hut, sculpture park, holiday village of Fenwick"
        ),
    ),
    "swimming": _Closed(
        "Is swimming allowed in the {x}?",
        (
            "Swimming is allowed in the {x}.",
            "Bathers may use the {x} all summer.",
            "The town permits everybody to swim in the {x}.",
            "Nothing forbids a swim in the {x}.",
        ),
        (
            "Swimming is forbidden in the {x}.",
            "Bathers must keep out of the {x} all summer.",
            "The town fines everybody who swims in the {x}.",
            "No one is permitted to take a swim in the {x}.",
        ),
        _list(
            "quarry lake, river at Holm, reservoir of Dray, castle pond, canal basin, bay of Saint Maren, "
            "old harbour, lake behind the mill"
        ),
    ),
    "price": _Open(
        "How much does a ticket for the {x} cost?",
        (
            "A ticket for the {x} costs {v}.",
            "Visitors pay {v} for a ticket to the {x}.",
            "At the till of the {x} they ask {v} for a ticket.",
            "The {x} sells its tickets at {v}.",
            "With {v} in the pocket one can afford a ticket for the {x}.",
        ),
        _list(
            "wax museum, steam railway, puppet theatre, castle tour, boat trip to Gull Island, night market, "
            "cable car of Hochfirn, maze"
        ),
        _forms(
            "5 euros|€5, 7 euros|€7, 9 euros|€9, 12 euros|€12, 14 euros|€14, 19 euros|€19, 25 euros|€25, 30 euros|€30"
        ),
    ),
    "time": _Open(
        "At what time does the {x} leave?",
        (
            "The {x} leaves at {v}.",
            "Passengers of the {x} have to be aboard by {v}, when it leaves.",
            "The timetable has the {x} leaving at {v}.",
            "At {v} the {x} sets off.",
            "Those who come after {v} only see the {x} leave.",
        ),
        _list(
            "ferry to Ransholm, night bus to Orrindale, express to Selvik, shuttle to the airport, mountain tram, "
            "mail boat to Skarne, coach to Delmar, early train to Moorend"
        ),
        _forms(
            "8:15 a.m.|a quarter past eight in the morning, 9:30 a.m.|half past nine in the morning, "
            "10:45 a.m.|a quarter to eleven in the morning, 2:00 p.m.|two in the afternoon, "
            "3:30 p.m.|half past three in the afternoon, 6:15 p.m.|a quarter past six in the evening, "
            "7:40 p.m.|twenty to eight in the evening, 11:20 p.m.|twenty past eleven at night"
        ),
    ),
    "activity": _Open(
        "What do the members of the {x} meet for?",
        (
            "The members of the {x} meet to {v}.",
            "Whoever joins the {x} comes together with the others to {v}.",
            "On Thursday evenings one can see the {x} {v}.",
            "People found the {x} because they wanted to {v} together.",
            "To {v} is what brings the members of the {x} together.",
        ),
        _list(
            "Blue Anchor Club, Society of the Seven Oaks, Tuesday Circle, Friends of Hallow Lane, Lantern Club, "
            "Heron Society, Club of Lower Marsh, Copper Kettle Circle"
        ),
        _forms(
            "sing|sing in a choir, paint|paint pictures, row|row boats, bake bread|bake loaves, "
            "play chess|play games of chess, knit|knit jumpers, dance|dance the tango, watch birds|look out for birds"
        ),
    ),
    "material": _Open(
        "What is the {x} made of?",
        (
            "The {x} is made of {v}.",
            "Craftsmen shaped the {x} out of {v}.",
            "For the {x} the makers used {v} and nothing else.",
            "Rain does no harm to the {x}, which is all {v}.",
            "A guide knocks on the {x} to prove that it is {v}.",
        ),
        _list(
            "statue of the fisherman, roof of the town hall, bench by the well, altar of Saint Hedda, staircase of the "
            "villa, gate of the cemetery, bridge over the Linn, weathercock"
        ),
        _forms(
            "oak|oak wood, marble|white marble, copper|sheet copper, brick|fired brick, glass|thick glass, "
            "granite|grey granite, steel|welded steel, clay|baked clay"
        ),
    ),
    "cause": _Open(
        "Why was the {x} closed last week?",
        (
            "The {x} was closed last week because of {v}.",
            "Last week {v} forced the {x} to close.",
            "The reason for closing the {x} last week was {v}.",
            "It was {v} that kept the {x} shut last week.",
            "After {v} nobody could use the {x} last week.",
        ),
        _list(
            "tunnel of Garven, coastal road, swimming pool of Easton, primary school of Holt, cable railway, "
            "library of Netherby, bridge at Cray, market square"
        ),
        _forms(
            "a flood|high water, a fire|a blaze, a strike|a walkout by the staff, a burst pipe|a broken water pipe, "
            "a storm|heavy gales, a power cut|a failure of the electricity, a landslide|sliding mud and rock, "
            "a film shoot|the shooting of a film"
        ),
    ),
    "length": _Open(
        "How long is the {x}?",
        (
            "The {x} is {v} long.",
            "From end to end the {x} measures {v}.",
            "To walk the whole {x} is to cover {v}.",
            "Signs give the length of the {x} as {v}.",
            "Over {v} the {x} winds through the hills.",
        ),
        _list(
            "Amber Trail, canal of Brugg, pilgrims' way of Aldane, coastal path of Inver, Pine Ridge loop, "
            "Roman road of Corvey, dike of Salten, old smugglers' track"
        ),
        _forms(
            "6 kilometres|six kilometres, 9 kilometres|nine kilometres, 14 kilometres|fourteen kilometres, "
            "18 kilometres|eighteen kilometres, 21 kilometres|twenty-one kilometres, 32 kilometres|"
            "thirty-two kilometres, 44 kilometres|forty-four kilometres, 57 kilometres|fifty-seven kilometres"
        ),
    ),
}
