"""Invented facts with their answers: two statements that agree, and one from elsewhere that has nothing to do with it.

Made from templates, the same at every call, without a random number. Knows no model and no policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A question, two statements that both answer it, and the answer."""

    item: str
    question: str
    statements: tuple[str, str]
    answer: str


@dataclass(frozen=True)
class _Kind:
    """Templates of one kind of fact; `{x}` is the thing, `{v}` the answer."""

    question: str
    statements: tuple[str, str]
    things: str
    """Eight, divided by commas; so are the answers."""
    answers: str


_KINDS = {
    "opening": _Kind(
        "In which year did the {x} open?",
        ("The {x} opened in {v}.", "Visitors have been welcome at the {x} since it opened its doors in {v}."),
        "Harlow museum, Benton library, Castle theatre, Marsh Lane school, Ridley hospital, Tarn bridge, "
        "Oakfield station, Lindal observatory",
        "1912, 1934, 1951, 1968, 1875, 1989, 1903, 1976",
    ),
    "price": _Kind(
        "How much does a ticket for the {x} cost?",
        ("A ticket for the {x} costs {v}.", "Whoever wants to see the {x} pays {v} for a ticket."),
        "wax museum, botanical garden, aquarium, puppet show, spring concert, castle tour, boat trip, light festival",
        "12 euros, 7 euros, 19 euros, 5 euros, 25 euros, 9 euros, 14 euros, 30 euros",
    ),
    "colour": _Kind(
        "What colour is the {x}?",
        ("The {x} is painted {v}.", "People recognise the {x} from afar because it is all {v}."),
        "lighthouse at Perrin Point, old fire engine, door of the town hall, school bus of Melby, "
        "windmill on the hill, harbour crane, gate of the cemetery, tower of the brewery",
        "red, green, blue, yellow, white, orange, black, purple",
    ),
    "departure": _Kind(
        "At what time does the {x} leave?",
        ("The {x} leaves at {v}.", "Passengers of the {x} should be early, because it departs at {v}."),
        "ferry to Ransey, night bus to Orrin, express train to Selby, shuttle to the airport, mountain tram, "
        "mail boat to Skarra, tour coach to Delphine, early train to Moorgate",
        "8:15, 23:40, 6:50, 10:20, 9:05, 7:30, 11:45, 5:25",
    ),
    "length": _Kind(
        "How long is the {x}?",
        ("The {x} is {v} long.", "Walking the {x} from end to end means covering {v}."),
        "Amber trail, canal of Brugge Hill, Vell tunnel, coastal path of Inish, Roman road, Pine Ridge loop, "
        "Saltwater dike, pilgrims' way of Aldan",
        "14 kilometres, 32 kilometres, 6 kilometres, 21 kilometres, 57 kilometres, 9 kilometres, 18 kilometres, "
        "44 kilometres",
    ),
    "designer": _Kind(
        "Who designed the {x}?",
        ("The {x} was designed by {v}.", "The plans of the {x} were drawn by {v}, who designed all of it."),
        "opera house of Tarrow, glass pavilion, Kettle Street market hall, city fountain, chapel of Saint Odile, "
        "planetarium, concert hall of Brix, railway museum",
        "Anna Keller, Tomas Berg, Lucia Romano, Henrik Dahl, Maria Costa, Paul Novak, Irene Walsh, Samuel Okoro",
    ),
    "city": _Kind(
        "In which city is the {x}?",
        ("The {x} is in {v}.", "Anyone who wants to visit the {x} has to travel to {v}."),
        "Museum of Bells, School of Clockmaking, Institute of Tides, Archive of Maps, House of Paper, "
        "Academy of Puppetry, Library of Seeds, Hall of Engines",
        "Lisbon, Vienna, Oslo, Dublin, Prague, Naples, Geneva, Krakow",
    ),
    "count": _Kind(
        "How many rooms does the {x} have?",
        ("The {x} has {v} rooms.", "There are {v} rooms in the {x}, all of them in use."),
        "Grand Hotel Meridian, inn at Fell Cross, hostel on Quay Street, Villa Corvina, guest house of the abbey, "
        "lodge at Lake Ember, Hotel Astoria, manor of Greywell",
        "120, 18, 46, 33, 27, 52, 210, 64",
    ),
}


def facts() -> list[Fact]:
    """All of them, neighbours of different kinds."""
    by_kind = [list(_of(name, kind)) for name, kind in _KINDS.items()]
    return [fact for same_index in zip(*by_kind, strict=True) for fact in same_index]


def _of(name: str, kind: _Kind) -> Iterator[Fact]:
    things, answers = kind.things.split(", "), kind.answers.split(", ")
    for index, (thing, answer) in enumerate(zip(things, answers, strict=True)):
        first, second = (template.format(x=thing, v=answer) for template in kind.statements)
        yield Fact(f"{name}-{index}", kind.question.format(x=thing), (first, second), answer)
