"""A poster for an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from xmguard_research.benchmarks.mmir.page import Element, Kind, Relation, Values, other
from xmguard_research.benchmarks.mmir.relations import belongs, one_name, one_thing
from xmguard_research.scenes.concepts import CITIES, MONTHS, NAMES, THINGS, a

EVENTS: Mapping[str, Sequence[str]] = {
    "Climbing day": ("Bring climbing shoes and chalk", "The highest wall has 14 metres"),
    "Chess tournament": ("Boards and clocks are provided", "White moves first on every board"),
    "Swimming gala": ("Bring a towel and a bathing suit", "The pool is 50 metres long"),
    "Evening of poems": ("Twelve poets read aloud", "Listen to verses old and new"),
}
"""With lines that go with each of them alone. None has a season, because the date is drawn at random."""
ENTRY = {True: "Admission is free", False: "Admission is charged"}
SIDES = ("left", "right")


def _propose(random: Random) -> Values:
    event, thing, guest = random.choice(tuple(EVENTS)), random.choice(tuple(THINGS)), random.choice(NAMES)
    begins, inside, outside, side, free = (
        random.randint(10, 18),
        random.randint(3, 20),
        random.randint(3, 20),
        random.choice(SIDES),
        random.random() < 0.5,
    )
    return {
        "event": event,
        "hint": random.choice(EVENTS[event]),
        "thing": thing,
        "shown": thing,
        "guest": guest,
        "met": guest,
        "day": f"{random.randint(1, 28)} {random.choice(MONTHS)}",
        "city": random.choice(CITIES),
        "begins": begins,
        "ends": begins + random.randint(2, 5),
        "inside": inside,
        "outside": outside,
        "stalls": inside + outside,
        "free": free,
        "unpaid": free,
        "price": random.randint(2, 15),
        "arrow": side,
        "way": side,
    }


def _elements(values: Values) -> list[Element]:
    tickets = "Tickets: none needed" if values["unpaid"] else f"Tickets: €{values['price']}"
    return [
        Element("event", values["event"], (0, 0, 224, 28), "banner"),
        Element("day", f"{values['day']}, {values['city']}", (8, 32, 216, 48)),
        Element("picture", "the picture", (8, 52, 96, 132), "picture", (values["shown"], 1)),
        Element("caption", f"Look out for {a(values['thing'])}", (102, 52, 216, 66)),
        Element("begins", f"Begins at {values['begins']}:00", (102, 68, 216, 82)),
        Element("ends", f"Ends at {values['ends']}:00", (102, 84, 216, 98)),
        Element("entry", ENTRY[values["free"]], (102, 100, 216, 114)),
        Element("tickets", tickets, (102, 116, 216, 130)),
        Element("stalls", f"{values['inside']} stalls inside, {values['outside']} outside", (8, 136, 216, 150)),
        Element("sum", f"{values['stalls']} stalls in all", (8, 152, 216, 166)),
        Element("guest", f"Our guest is {values['guest']}", (8, 168, 140, 182)),
        Element("met", f"Come and meet {values['met']}", (8, 184, 140, 198)),
        Element("hint", values["hint"], (8, 200, 140, 214)),
        Element("arrow", "the arrow", (146, 168, 216, 192), "arrow", (values["arrow"],)),
        Element("way", f"Way in: {values['way']}", (146, 200, 216, 214)),
    ]


POSTER = Kind(
    "poster",
    _propose,
    _elements,
    (
        Relation(
            "factual",
            "entry",
            "tickets",
            lambda values: values["free"] == values["unpaid"],
            lambda values, random: {"unpaid": not values["free"]},
            lambda values: (("admission", "free" if values["free"] else "charged"), ("ticket", "tickets")),
        ),
        one_thing("picture", "caption"),
        one_name("guest", "met", ("guest", "met")),
        belongs("event", "hint", EVENTS),
        Relation(
            "quantitative",
            "stalls",
            "sum",
            lambda values: values["stalls"] == values["inside"] + values["outside"],
            lambda values, random: {"stalls": values["stalls"] + random.choice((-2, -1, 1, 2, 3))},
            lambda values: (
                (f"{values['inside']} stalls", f"{values['inside']} inside", "inside", "outside"),
                (f"{values['stalls']} stalls", "in all", str(values["stalls"])),
            ),
        ),
        Relation(
            "temporal-spatial",
            "begins",
            "ends",
            lambda values: values["ends"] > values["begins"],
            lambda values, random: {"ends": values["begins"] - random.randint(1, 4)},
            lambda values: (
                (f"{values['begins']}:00", "begins", "begin", "start", "starts"),
                (f"{values['ends']}:00", "ends", "end"),
            ),
        ),
        Relation(
            "temporal-spatial",
            "arrow",
            "way",
            lambda values: values["arrow"] == values["way"],
            lambda values, random: {"way": other(SIDES, values["arrow"])(random)},
            lambda values: (("arrow",), ("way in", f"way in: {values['way']}", f"is {values['way']}")),
        ),
    ),
)
