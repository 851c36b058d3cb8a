"""Sentences and questions about scenes for training, in other words than those in which the suites tell and ask.

The suites take theirs from `xmguard_research.scenes`; none of those is here. Scenes that are all writing have none:
what is asked of them is what reading a text asks. Draws nothing; knows no prompt and no answer's wording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from xmguard_research.scenes import Scene


@dataclass(frozen=True)
class Wording:
    """Of one slot: two questions for its value, and two sentences that state it. Templates as those of a `Slot`."""

    questions: tuple[str, str]
    statements: tuple[str, str]


def question(scene: Scene, slot: str, random: Random) -> str:
    """Asks for the value of a slot in one of two wordings."""
    return _filled(random.choice(_wording(scene, slot).questions), scene)


def tellings(scene: Scene, random: Random) -> tuple[str, str]:
    """The scene in sentences, twice: every fact in another statement, and in an order drawn for each."""
    slots = [fact.slot for fact in scene.facts]
    first = {slot: random.randrange(2) for slot in slots}
    return _told(scene, first, random), _told(scene, {slot: 1 - first[slot] for slot in slots}, random)


def _told(scene: Scene, statements: Mapping[str, int], random: Random) -> str:
    order = random.sample(list(statements), len(statements))
    return " ".join(_filled(_wording(scene, slot).statements[statements[slot]], scene) for slot in order)


def _wording(scene: Scene, slot: str) -> Wording:
    return WORDINGS[scene.layout.name][slot]


def _filled(template: str, scene: Scene) -> str:
    text = template.format_map({**scene.values, **scene.layout.phrases(scene.values)})
    return text[:1].upper() + text[1:]


_BACKGROUND = Wording(
    ("Which colour lies behind everything?", "What colour fills the rest of the image?"),
    ("Everything stands in front of {background}.", "{background} fills the rest of the image."),
)
WORDINGS: Mapping[str, Mapping[str, Wording]] = {
    "activity": {
        "activity": Wording(
            ("What activity can be seen here?", "What does the person spend the time with?"),
            ("Somebody is {activity} here.", "One sees that a person is {activity}."),
        ),
        "thing": Wording(
            ("What else is there, close to the person?", "What keeps the person company?"),
            ("Close to the person there is {a_thing}.", "{a_thing} can be found not far from the person."),
        ),
        "sky": Wording(
            ("In which colour is the sky shown?", "What is the sky's colour?"),
            ("The sky overhead looks {sky}.", "One sees a sky that is {sky}."),
        ),
    },
    "objects.several": {
        "thing": Wording(
            ("What can be found in the image?", "What does the image contain?"),
            ("The image contains {some}.", "Here one finds {some}."),
        ),
        "count": Wording(
            ("How often does the {thing} appear?", "How many {plural} does the image contain?"),
            ("Altogether there {are} {counted}.", "Counting them gives {number}."),
        ),
        "background": _BACKGROUND,
    },
    "objects.pair": {
        "first": Wording(
            ("What does one find {beside} the {second}?", "What accompanies the {second}?"),
            ("Along with the {second} there is {a_first}.", "The {second} has {a_first} for company."),
        ),
        "relation": Wording(
            (
                "On which side of the {second} is the {first}: above, below, to the left or to the right?",
                "Relative to the {second}, where has the {first} its place?",
            ),
            ("Look {beside} the {second} to find the {first}.", "The {first} has its place {beside} the {second}."),
        ),
        "background": _BACKGROUND,
    },
    "objects.shapes": {
        "colour": Wording(
            ("In which colour {is} {the_shapes} drawn?", "What is the colour used for {the_shapes}?"),
            ("It is a drawing of {coloured}.", "For {the_shapes} the colour {colour} was used."),
        ),
        "count": Wording(
            ("How many {shape}s were drawn?", "How often does the {shape} appear?"),
            ("{counted} {is} all that was drawn.", "Counting them gives {count} {noun}."),
        ),
        "shape": Wording(
            ("What shape was drawn?", "What does the drawing consist of?"),
            ("The drawing consists of {shaped}.", "On paper there {is} {shaped}."),
        ),
    },
    "price": {
        "price": Wording(
            ("How much must one pay for the {thing}?", "What does the price tag show?"),
            ("One can have the {thing} for {price}.", "The tag shows {price}."),
        ),
        "thing": Wording(
            ("What is offered with a price?", "To what does the price belong?"),
            ("The price belongs to {a_thing}.", "{a_thing} is offered."),
        ),
        "background": _BACKGROUND,
    },
    "sign": {
        "word": Wording(
            ("Which word can one read on the board?", "What word was put on the sign?"),
            ('The word "{word}" was put on the sign.', 'There is a sign that reads "{word}".'),
        ),
        "colour": Wording(
            ("In which colour was the sign painted?", "What is the sign's colour?"),
            ("The sign was painted {colour}.", "Painted {colour}, the sign is easy to find."),
        ),
        "thing": Wording(
            ("What can be found at the foot of the sign?", "What is there on the ground, under the sign?"),
            ("At the foot of the sign there is {a_thing}.", "{a_thing} can be found under the sign."),
        ),
    },
}
"""By layout and slot."""
