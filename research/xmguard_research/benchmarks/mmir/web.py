"""A shop's page about one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from xmguard_research.benchmarks.mmir.page import Element, Kind, Relation, Values, other
from xmguard_research.benchmarks.mmir.relations import belongs, one_name, one_thing
from xmguard_research.scenes.concepts import CITIES, MONTHS, NAMES, THINGS

MAKERS = ("Belden", "Corvin", "Farrow", "Hallis", "Lorvik", "Menta", "Ostra", "Tilden")
SHOPS: Mapping[str, Sequence[str]] = {
    "The toy shop": ("For children from three years", "A gift for little hands"),
    "The workshop store": ("For carpenters and plumbers", "Tough enough for the building site"),
    "The beach store": ("Bring it when you go swimming", "For days in the sun and the sand"),
    "The office supplier": ("For desks and meeting rooms", "Keeps your papers in order"),
}
WASHING = {True: "Can be washed at 40 degrees", False: "Must never be washed"}
CARE = {True: "Care: put it in the washing machine", False: "Care: wipe it only, keep it dry"}


def _propose(random: Random) -> Values:
    thing, count, maker, shop = (
        random.choice(tuple(THINGS)),
        random.randint(2, 6),
        random.choice(MAKERS),
        random.choice(tuple(SHOPS)),
    )
    now, saved, first, month, washable = (
        random.randint(10, 60),
        random.randint(3, 20),
        random.randint(8, 16),
        random.choice(MONTHS),
        random.random() < 0.5,
    )
    last = first + random.randint(3, 10)
    return {
        "shop": shop,
        "slogan": random.choice(SHOPS[shop]),
        "thing": thing,
        "shown": thing,
        "count": count,
        "pack": count,
        "now": now,
        "was": now + saved,
        "saved": saved,
        "maker": maker,
        "thanked": maker,
        "city": random.choice(CITIES),
        "customer": random.choice(NAMES),
        "washable": washable,
        "machine": washable,
        "first": first,
        "last": last,
        "until": last,
        "month": month,
    }


def _elements(values: Values) -> list[Element]:
    thing = THINGS[values["thing"]]
    return [
        Element("shop", values["shop"], (0, 0, 224, 24), "banner"),
        Element("title", f"{thing.plural.capitalize()} for sale", (8, 28, 216, 46)),
        Element("picture", "the picture", (8, 50, 112, 138), "picture", (values["shown"], values["count"])),
        Element("pack", f"Pack of {values['pack']}", (118, 50, 216, 64)),
        Element("price", f"€{values['now']} instead of €{values['was']}", (118, 66, 216, 80)),
        Element("saving", f"You save €{values['saved']}", (118, 82, 216, 96)),
        Element("maker", f"Made by {values['maker']} in {values['city']}", (118, 98, 216, 112)),
        Element("slogan", values["slogan"], (118, 114, 216, 128)),
        Element("washing", WASHING[values["washable"]], (8, 144, 216, 158)),
        Element("care", CARE[values["machine"]], (8, 160, 216, 174)),
        Element("sale", f"Sale from {values['first']} to {values['last']} {values['month']}", (8, 176, 216, 190)),
        Element("until", f"Only until {values['until']} {values['month']}", (8, 192, 216, 206)),
        Element("review", f'"Thank you, {values["thanked"]}!" {values["customer"]}', (8, 208, 216, 222)),
    ]


WEB = Kind(
    "web",
    _propose,
    _elements,
    (
        Relation(
            "factual",
            "washing",
            "care",
            lambda values: values["washable"] == values["machine"],
            lambda values, random: {"machine": not values["washable"]},
            lambda values: (
                ("40 degrees", "can be washed") if values["washable"] else ("never be washed", "must never"),
                ("washing machine",) if values["machine"] else ("wipe", "dry"),
            ),
        ),
        one_thing("title", "picture"),
        one_name("maker", "review", ("maker", "thanked"), MAKERS),
        belongs("shop", "slogan", SHOPS),
        Relation(
            "quantitative",
            "picture",
            "pack",
            lambda values: values["count"] == values["pack"],
            lambda values, random: {"pack": other(range(2, 10), values["count"])(random)},
            lambda values: (("picture", "image", "photo", "shown", "shows"), (f"pack of {values['pack']}", "the pack")),
        ),
        Relation(
            "quantitative",
            "price",
            "saving",
            lambda values: values["was"] - values["now"] == values["saved"],
            lambda values, random: {"saved": other(range(3, 21), values["saved"])(random)},
            lambda values: (
                (f"€{values['now']}", f"€{values['was']}", "the price", "the prices"),
                (f"€{values['saved']}", "save", "saving"),
            ),
        ),
        Relation(
            "temporal-spatial",
            "sale",
            "until",
            lambda values: values["until"] == values["last"],
            lambda values, random: {"until": random.randint(1, values["first"] - 1)},
            lambda values: (
                (f"from {values['first']}", f"to {values['last']}", f"{values['last']} {values['month']}"),
                (f"until {values['until']}", f"{values['until']} {values['month']}"),
            ),
        ),
    ),
)
