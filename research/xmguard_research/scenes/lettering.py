"""Price tags and signs: large letters next to a thing."""

from __future__ import annotations

from random import Random

from xmguard_research.scenes.canvas import FACES, Box, Canvas, jittered, mixed, readable_on
from xmguard_research.scenes.concepts import COLOURS, NEW_SIGN_WORDS, SIGN_WORDS, SKIES, THINGS, Rgb, a
from xmguard_research.scenes.objects import BACKGROUND, COLOUR_NAMES, THING_NAMES, presence
from xmguard_research.scenes.spec import Layout, Question, Scene, Slot, Values, of_split

DOLLARS = tuple(f"${dollars}.{cents:02d}" for dollars in range(1, 10) for cents in range(0, 100, 5))
EUROS = tuple(f"€{euros}" for euros in range(2, 100))
_TAGS: tuple[Rgb, ...] = ((255, 255, 255), (255, 240, 150), (240, 240, 240))


def centred(canvas: Canvas, text: str, box: Box, *, face: str, largest: float, colour: Rgb) -> None:
    """One line in the middle of a box, as large as fits, at most `largest` units."""
    room = box[2] - box[0] - 12
    size = min(largest, largest * room / canvas.width(text, face=face, size=largest))
    canvas.text(
        text,
        ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
        face=face,
        size=size,
        colour=colour,
        anchor="mm",
    )


def _propose_price(random: Random, split: str) -> dict[str, str]:
    return {
        "price": random.choice(of_split("price", random.choice((DOLLARS, EUROS)), split)),
        "thing": random.choice(THING_NAMES),
        "background": random.choice(COLOUR_NAMES),
    }


def _thing_phrases(values: Values) -> dict[str, str]:
    return {"a_thing": a(values["thing"])}


def _more(values: Values, random: Random) -> list[Question]:
    return [presence(random, values["thing"], THING_NAMES)]


def _draw_price(canvas: Canvas, scene: Scene) -> None:
    canvas.panel(scene.values["background"], scene.random("background"))
    random = scene.random("places")
    tag = random.choice(_TAGS)
    ink = random.choice(((20, 20, 24), (20, 20, 24), (170, 20, 20)))
    top = random.uniform(112, 128)
    left = random.uniform(8, 24)
    box = (left, top, left + 192, top + 84)
    thing_x, size = random.uniform(60, 164), random.uniform(72, 92)
    thing = THINGS[scene.values["thing"]]
    canvas.emoji(thing.emoji, (thing_x, top - 60), size, turned=random.uniform(-10, 10), says=(thing.name,))
    canvas.board(box, tag, radius=random.uniform(2, 16), outline=mixed(tag, (0, 0, 0), 0.4))
    face, largest = random.choice(FACES), random.uniform(54, 64)
    centred(canvas, scene.values["price"], box, face=face, largest=largest, colour=ink)


PRICE = Layout(
    name="price",
    kind="price",
    slots=(
        Slot(
            name="price",
            skill="price",
            domain=DOLLARS + EUROS,
            questions=(
                "What does it cost?",
                "How much is the {thing}?",
                "What is the price of the {thing}?",
                "Which price is on the tag?",
            ),
            statements=(
                "The {thing} costs {price}.",
                "{price} is the price of the {thing}.",
                "Whoever wants the {thing} pays {price}.",
            ),
        ),
        Slot(
            name="thing",
            skill="object",
            domain=THING_NAMES,
            questions=("What is for sale?", "What has a price tag?", "What can be bought here?"),
            statements=(
                "What is for sale is {a_thing}.",
                "The price tag belongs to {a_thing}.",
                "What can be bought here is {a_thing}.",
            ),
        ),
        BACKGROUND,
    ),
    propose=_propose_price,
    together=(("price",),),
    draw=_draw_price,
    phrases=_thing_phrases,
    more=_more,
)


def _sign_values(random: Random, word: str) -> dict[str, str]:
    return {"word": word, "colour": random.choice(COLOUR_NAMES), "thing": random.choice(THING_NAMES)}


def _propose_sign(random: Random, split: str) -> dict[str, str]:
    return _sign_values(random, random.choice(SIGN_WORDS))


def _propose_new_sign(random: Random, split: str) -> dict[str, str]:
    return _sign_values(random, random.choice(NEW_SIGN_WORDS))


def _draw_sign(canvas: Canvas, scene: Scene) -> None:
    ground = scene.random("background")
    horizon = canvas.outdoors(ground.choice(tuple(SKIES)), ground)
    random = scene.random("places")
    colour = jittered(COLOURS[scene.values["colour"]], random)
    top = random.uniform(16, 44)
    left = random.uniform(6, 14)
    box = (left, top, left + 204, top + random.uniform(62, 74))
    post = random.uniform(60, 164)
    canvas.line((post, box[3]), (post, horizon + 22), (90, 90, 96), random.uniform(6, 10))
    radius, says = random.uniform(2, 14), (scene.values["colour"],)
    canvas.board(box, colour, radius=radius, outline=readable_on(colour), says=says)
    face, largest = random.choice(FACES), random.uniform(42, 50)
    case = random.choice((str.upper, str.capitalize, str.lower))
    word = case(scene.values["word"])
    centred(canvas, word, box, face=face, largest=largest, colour=readable_on(colour))
    size = random.uniform(52, 66)
    thing_x = random.uniform(40, 80) if post > 112 else random.uniform(144, 184)
    thing = THINGS[scene.values["thing"]]
    thing_y, turned = random.uniform(172, 186), random.uniform(-10, 10)
    canvas.emoji(thing.emoji, (thing_x, thing_y), size, turned=turned, says=(thing.name,))


def _sign(skill: str, words: tuple[str, ...]) -> tuple[Slot, ...]:
    return (
        Slot(
            name="word",
            skill=skill,
            domain=words,
            questions=(
                "What does the sign say?",
                "Which word is on the sign?",
                "Read the sign.",
                "What is written on the sign?",
            ),
            statements=(
                'The sign says "{word}".',
                'The word on the sign is "{word}".',
                'On the sign one reads "{word}".',
            ),
        ),
        Slot(
            name="colour",
            skill="colour",
            domain=COLOUR_NAMES,
            questions=("What colour is the sign?", "Which colour does the sign have?", "Name the colour of the sign."),
            statements=(
                "The sign is {colour}.",
                "The colour of the sign is {colour}.",
                "Its letters stand on {colour}, which is the colour of the sign.",
            ),
        ),
        Slot(
            name="thing",
            skill="object",
            domain=THING_NAMES,
            questions=(
                "What is next to the post of the sign?",
                "What thing is below the sign?",
                "Besides the sign, what is in the picture?",
            ),
            statements=(
                "The thing below the sign is {a_thing}.",
                "What one sees next to the post of the sign is {a_thing}.",
                "Besides the sign the picture shows only {a_thing}.",
            ),
        ),
    )


SIGN = Layout(
    name="sign",
    kind="sign",
    slots=_sign("sign", SIGN_WORDS),
    propose=_propose_sign,
    together=(("word", "colour"),),
    draw=_draw_sign,
    phrases=_thing_phrases,
    more=_more,
)
NEW_SIGN = Layout(
    name="sign.new",
    kind="sign",
    slots=_sign("sign_new", NEW_SIGN_WORDS),
    propose=_propose_new_sign,
    together=(),
    draw=_draw_sign,
    phrases=_thing_phrases,
    more=_more,
    splits=("test",),
)
LAYOUTS = (PRICE, SIGN, NEW_SIGN)
