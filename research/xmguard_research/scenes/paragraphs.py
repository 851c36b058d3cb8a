"""One or two short sentences, rendered as text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from xmguard_research.scenes.canvas import FACES, Canvas
from xmguard_research.scenes.concepts import CITIES, DAYS, FOODS, NAMES
from xmguard_research.scenes.documents import INK, page
from xmguard_research.scenes.spec import Layout, Scene, Slot

_ROOM = 184.0
"""Width of a line, units."""
DOMAINS = {
    "name": NAMES,
    "city": CITIES,
    "day": DAYS,
    "food": FOODS,
    "pet": ("dog", "cat", "rabbit", "horse", "turtle", "parrot", "goat", "hamster"),
    "colour": ("red", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"),
    "job": ("baker", "nurse", "teacher", "driver", "painter", "farmer", "lawyer", "singer", "cook", "tailor"),
    "vehicle": ("bus", "train", "car", "ferry", "plane", "tram"),
    "age": tuple(str(age) for age in range(20, 60)),
}


def _proposing(names: tuple[str, ...]) -> Callable[[Random, str], dict[str, str]]:
    def propose(random: Random, split: str) -> dict[str, str]:
        return {name: random.choice(DOMAINS[name]) for name in names}

    return propose


def _drawing(texts: tuple[str, ...]) -> Callable[[Canvas, Scene], None]:
    def draw(canvas: Canvas, scene: Scene) -> None:
        page(canvas, scene.random("background"))
        random = scene.random("letters")
        face, size = random.choice(FACES[:3]), random.uniform(23, 26)
        left, top = random.uniform(17, 22), random.uniform(28, 40)
        text = random.choice(texts).format_map(scene.values)
        for row, line in enumerate(wrapped(canvas, text, face=face, size=size, room=_ROOM)):
            canvas.text(line, (left, top + row * size * 1.3), face=face, size=size, colour=INK, anchor="lm")

    return draw


def wrapped(canvas: Canvas, text: str, *, face: str, size: float, room: float) -> list[str]:
    """The text in lines of at most `room` units; a word that is wider has a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if canvas.width(longer, face=face, size=size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _layout(name: str, texts: tuple[str, ...], slots: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> Layout:
    """Slots map the name of a domain to the wordings of its question and of its statement."""
    names = tuple(slots)
    return Layout(
        name=f"paragraph.{name}",
        kind="paragraph",
        slots=tuple(
            Slot(name=slot, skill="paragraph", domain=DOMAINS[slot], questions=asked, statements=told)
            for slot, (asked, told) in slots.items()
        ),
        propose=_proposing(names),
        together=(names[:2], names[2:]),
        draw=_drawing(texts),
    )


TRIP = _layout(
    "trip",
    (
        "{name} went to {city} on {day}. The trip was by {vehicle}.",
        "On {day} {name} took the {vehicle} to {city}.",
        "{name} likes {city} and travels there by {vehicle} on {day}.",
    ),
    {
        "name": (
            ("Who travels in the text?", "Whose trip is it?", "Who goes on a trip?"),
            ("The traveller is {name}.", "It is {name} who travels.", "The trip is made by {name}."),
        ),
        "city": (
            ("Where does {name} go?", "Which city does {name} visit?", "To which city is the trip?"),
            ("{name} goes to {city}.", "The trip is to {city}.", "The city that {name} visits is {city}."),
        ),
        "day": (
            ("On which day is the trip?", "When does {name} go?", "Which day does {name} travel?"),
            ("The trip is on {day}.", "{name} travels on {day}.", "{day} is the day of the trip."),
        ),
        "vehicle": (
            ("How does {name} travel?", "Which vehicle does {name} take?", "By what does {name} travel?"),
            ("{name} travels by {vehicle}.", "The trip is made by {vehicle}.", "{name} takes the {vehicle}."),
        ),
    },
)
WORK = _layout(
    "work",
    (
        "{name} is a {job} in {city}. {name} is {age} years old.",
        "At {age}, {name} works in {city} as a {job}.",
        "{name} lives in {city}, is {age} and works as a {job}.",
    ),
    {
        "name": (
            ("Who is the {job}?", "About whom is the text?", "Who works as a {job}?"),
            ("The {job} is {name}.", "The text is about {name}.", "It is {name} who works as a {job}."),
        ),
        "job": (
            ("What is the job of {name}?", "What does {name} work as?", "Which job does {name} have?"),
            ("{name} is a {job}.", "{name} works as a {job}.", "The job of {name} is {job}."),
        ),
        "city": (
            ("In which city is {name}?", "Where does {name} work?", "Which city is named?"),
            ("{name} works in {city}.", "{city} is the city of {name}.", "The place where {name} works is {city}."),
        ),
        "age": (
            ("How old is {name}?", "What is the age of {name}?", "Which age does {name} have?"),
            ("{name} is {age} years old.", "{name} has the age of {age}.", "The age of {name} is {age}."),
        ),
    },
)
PET = _layout(
    "pet",
    (
        "{name} has a {colour} {pet}. It came from {city}.",
        "A {colour} {pet} from {city} lives with {name}.",
        "In {city} {name} found a {pet}. It is {colour}.",
    ),
    {
        "name": (
            ("Who has the {pet}?", "Whose {pet} is it?", "With whom is the {pet}?"),
            ("The {pet} belongs to {name}.", "It is {name} who has the {pet}.", "The {pet} lives with {name}."),
        ),
        "pet": (
            ("Which animal does {name} have?", "What animal is it?", "What pet lives with {name}?"),
            ("The animal that {name} has is a {pet}.", "{name} keeps a {pet}.", "The pet of {name} is a {pet}."),
        ),
        "colour": (
            ("What colour is the {pet}?", "Which colour does the {pet} have?", "Name the colour of the {pet}."),
            ("The {pet} is {colour}.", "The colour of the {pet} is {colour}.", "{name} has a pet that is {colour}."),
        ),
        "city": (
            ("Where is the {pet} from?", "From which city is the {pet}?", "Which city does the {pet} come from?"),
            ("The {pet} is from {city}.", "{city} is where the {pet} comes from.", "The {pet} comes from {city}."),
        ),
    },
)
SHOPPING = _layout(
    "shopping",
    (
        "On {day} {name} bought {food}. The bag was {colour}.",
        "{name} has a {colour} bag. On {day} there was {food} in it.",
        "With a {colour} bag {name} went to buy {food} on {day}.",
    ),
    {
        "name": (
            ("Who bought {food}?", "Who has the bag?", "Whose shopping is it?"),
            ("The bag belongs to {name}.", "It was {name} who bought {food}.", "The shopping was done by {name}."),
        ),
        "food": (
            ("What did {name} buy?", "What was in the bag?", "What did {name} get?"),
            ("{name} bought {food}.", "What {name} got was {food}.", "In the bag was {food}."),
        ),
        "day": (
            ("On which day did {name} buy {food}?", "When did {name} go shopping?", "Which day was it?"),
            ("{name} bought it on {day}.", "The shopping was on {day}.", "{day} was the day of the shopping."),
        ),
        "colour": (
            ("What colour was the bag?", "Which colour did the bag have?", "Name the colour of the bag."),
            ("The bag was {colour}.", "The colour of the bag was {colour}.", "{name} had a bag that was {colour}."),
        ),
    },
)
LAYOUTS = (TRIP, WORK, PET, SHOPPING)
