"""A slide about what was sold in four quarters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from xmguard_research.benchmarks.mmir.page import Element, Kind, Relation, Values, other
from xmguard_research.benchmarks.mmir.relations import belongs, one_name, one_thing
from xmguard_research.scenes.concepts import CITIES, MONTHS, NAMES, THINGS

QUARTERS = ("Q1", "Q2", "Q3", "Q4")
YEARS = range(2012, 2030)
CLOSINGS: Mapping[str, Sequence[str]] = {
    "Sales report": ("Next: prices for the coming year", "Next: how customers heard of us"),
    "Cooking class": ("Next: let the onions simmer", "Next: how to fold the dough"),
    "History lesson": ("Next: the fall of the castle", "Next: the king's second war"),
    "Swimming course": ("Next: breathing under water", "Next: how to dive from the block"),
}
_TOPIC = "Sales report"


def _propose(random: Random) -> Values:
    thing, year, speaker = random.choice(tuple(THINGS)), random.choice(YEARS), random.choice(NAMES)
    sold = random.sample(range(5, 60), len(QUARTERS))
    return {
        "thing": thing,
        "shown": thing,
        "year": year,
        "reported": year + 1,
        "day": f"{random.randint(1, 28)} {random.choice(MONTHS[:4])}",
        "sold": tuple(sold),
        "best": QUARTERS[sold.index(max(sold))],
        "total": sum(sold),
        "speaker": speaker,
        "author": speaker,
        "city": random.choice(CITIES),
        "topic": _TOPIC,
        "closing": random.choice(CLOSINGS[_TOPIC]),
    }


def _elements(values: Values) -> list[Element]:
    thing = THINGS[values["thing"]]
    return [
        Element("topic", values["topic"], (0, 0, 224, 24), "banner"),
        Element("title", f"{thing.plural.capitalize()} sold in {values['year']}", (8, 28, 216, 46)),
        Element("chart", "the chart", (8, 52, 136, 150), "chart", (QUARTERS, values["sold"])),
        Element("picture", "the picture", (148, 52, 216, 120), "picture", (values["shown"], 1)),
        Element("best", f"Best: {values['best']}", (146, 126, 216, 142)),
        Element("total", f"Total of the year: {values['total']}", (8, 156, 216, 172)),
        Element("speaker", f"Speaker: {values['speaker']}, {values['city']}", (8, 174, 216, 188)),
        Element("closing", values["closing"], (8, 190, 216, 204)),
        Element("date", f"Shown on {values['day']} {values['reported']}", (8, 206, 112, 220)),
        Element("author", f"{values['author']} speaks", (118, 206, 216, 220)),
    ]


SLIDE = Kind(
    "slide",
    _propose,
    _elements,
    (
        Relation(
            "factual",
            "chart",
            "best",
            lambda values: values["best"] == QUARTERS[values["sold"].index(max(values["sold"]))],
            lambda values, random: {"best": other(QUARTERS, values["best"])(random)},
            lambda values: (("chart", "bar", "bars", "graph"), (f"best: {values['best']}", values["best"])),
        ),
        one_thing("title", "picture"),
        one_name("speaker", "author", ("speaker", "author")),
        belongs(
            "topic",
            "closing",
            CLOSINGS,
            lambda values: ((values["topic"], "sales"), (values["closing"], values["closing"].removeprefix("Next: "))),
        ),
        Relation(
            "quantitative",
            "chart",
            "total",
            lambda values: values["total"] == sum(values["sold"]),
            lambda values, random: {"total": values["total"] + random.choice((-1, 1)) * random.randint(6, 18)},
            lambda values: (("chart", "bar", "bars", "graph", "quarters", str(sum(values["sold"]))), ("total",)),
        ),
        Relation(
            "temporal-spatial",
            "title",
            "date",
            lambda values: values["reported"] > values["year"],
            lambda values, random: {"reported": values["year"] - random.randint(1, 3)},
            lambda values: ((str(values["year"]),), (str(values["reported"]),)),
        ),
    ),
)
