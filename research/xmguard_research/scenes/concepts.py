"""What scenes are made of: things and activities that both art styles draw alike, colours, words and names.

Chosen by eye from both sets. Knows no picture file and no question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")
WOMAN, MAN = "200d-2640-fe0f", "200d-2642-fe0f"


@dataclass(frozen=True)
class Thing:
    """Something that can be drawn, named and counted."""

    name: str
    plural: str
    group: str
    """`animal`, `fruit`, `vehicle` or `object`."""
    emoji: str
    """Code points in hexadecimal, joined by hyphens."""


def _things(group: str, table: str) -> list[Thing]:
    rows = (row.split() for row in table.split(","))
    return [Thing(name, rest[0] if rest else f"{name}s", group, emoji) for name, emoji, *rest in rows]


THINGS: Mapping[str, Thing] = {
    thing.name: thing
    for thing in [
        *_things(
            "animal",
            "dog 1f436, cat 1f431, horse 1f40e, cow 1f404, pig 1f437, rabbit 1f430, lion 1f981, bear 1f43b, "
            "monkey 1f435, elephant 1f418, penguin 1f427, frog 1f438, owl 1f989, turtle 1f422, fish 1f41f fish, "
            "butterfly 1f98b butterflies, bee 1f41d, snail 1f40c",
        ),
        *_things(
            "fruit",
            "apple 1f34e, banana 1f34c, strawberry 1f353 strawberries, pineapple 1f34d, lemon 1f34b, pear 1f350",
        ),
        *_things(
            "vehicle",
            "car 1f697, bus 1f68c buses, bicycle 1f6b2, airplane 2708-fe0f, sailboat 26f5, train 1f682, "
            "tractor 1f69c, rocket 1f680, helicopter 1f681",
        ),
        *_things(
            "object",
            "hammer 1f528, key 1f511, umbrella 2602-fe0f, guitar 1f3b8, clock 23f0, camera 1f4f7, ball 26bd, "
            "hat 1f3a9, crown 1f451, bell 1f514, gift 1f381, tree 1f333, cactus 1f335 cacti, mushroom 1f344, "
            "balloon 1f388, trophy 1f3c6 trophies, book 1f4d5",
        ),
    ]
}


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _people(emoji: str, *, tones: bool = True, genders: bool = True) -> tuple[str, ...]:
    """Variants that both sets have. A skin tone or a gender replaces the selector of emoji presentation."""
    bare = emoji.removesuffix("-fe0f")
    toned = tuple(f"{bare}-{tone}" for tone in TONES) if tones else ()
    gendered = (f"{emoji}-{WOMAN}", f"{emoji}-{MAN}") if genders else ()
    return (emoji, *toned, *gendered)


ACTIVITIES: Mapping[str, tuple[str, ...]] = {
    "surfing": _people("1f3c4"),
    "skiing": _people("26f7-fe0f", tones=False, genders=False),
    "snowboarding": _people("1f3c2", genders=False),
    "cycling": _people("1f6b4"),
    "swimming": _people("1f3ca"),
    "rowing": _people("1f6a3"),
    "golfing": _people("1f3cc-fe0f"),
    "climbing": _people("1f9d7"),
    "running": _people("1f3c3"),
    "lifting weights": _people("1f3cb-fe0f"),
    "juggling": _people("1f939"),
    "horse riding": _people("1f3c7", genders=False),
    "playing basketball": _people("26f9-fe0f"),
    "dancing": _people("1f483", genders=False),
    "meditating": _people("1f9d8"),
}
"""Activity -> emoji of people who do it."""
PART_OF_ACTIVITIES = frozenset({"horse", "bicycle", "ball", "sailboat", "fish"})
"""Things that somebody's activity contains or suggests: beside one, asking for them would be ambiguous."""

Rgb = tuple[int, int, int]
COLOURS: Mapping[str, Rgb] = {
    "red": (214, 48, 44),
    "orange": (247, 142, 30),
    "yellow": (250, 218, 60),
    "green": (62, 164, 74),
    "blue": (52, 112, 216),
    "purple": (132, 70, 182),
    "pink": (248, 150, 190),
    "brown": (128, 82, 48),
}
SKIES: Mapping[str, Rgb] = {
    "blue": (112, 178, 240),
    "orange": (250, 170, 90),
    "pink": (250, 176, 205),
    "purple": (160, 120, 205),
    "grey": (170, 174, 180),
    "yellow": (250, 226, 120),
}
GROUNDS: tuple[Rgb, ...] = (
    (96, 170, 80),
    (226, 202, 150),
    (240, 244, 248),
    (70, 130, 190),
    (150, 140, 130),
    (140, 104, 72),
)
"""Grass, sand, snow, water, stone, earth: drawn at random, so that no ground tells what is done on it."""
PAPERS: tuple[Rgb, ...] = ((255, 255, 255), (250, 246, 232), (240, 244, 250), (244, 244, 240))

SHAPES = ("circle", "square", "triangle", "heart", "star")
COUNTS = ("1", "2", "3", "4", "5")
COUNT_WORDS: Mapping[str, str] = dict(zip(COUNTS, ("one", "two", "three", "four", "five"), strict=True))

SIGN_WORDS = _words(
    "open closed exit stop sale bus taxi push pull hotel cafe bank police school hospital pharmacy library museum park "
    "parking station airport danger caution slow wait entry private toilets office kitchen free pizza bakery market "
    "harbour bridge beach north south east west cinema garden butcher florist tickets church"
)
NEW_SIGN_WORDS = _words(
    "garage theatre gallery welcome silence lift stairs tunnel castle bookshop dentist laundry mountain river "
    "melby ransey selby tarrow oakfield benton harlow lindal orrin skarra"
)
"""Never in a training picture: common words and invented towns."""

NAMES = _words("Anna Ben Clara David Emma Frank Grace Henry Ida Jack Kate Leo Maria Nina Oscar Paul")
MONTHS = _words("Jan Feb March April May June July Aug Sept Oct Nov Dec")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
CITIES = _words("Lisbon Vienna Oslo Dublin Prague Naples Geneva Krakow Paris London Rome Madrid")
FOODS = _words(
    "tea coffee soup bread cake rice milk juice water pasta salad fish cheese pizza apples eggs butter honey"
)
