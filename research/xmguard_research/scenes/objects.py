"""Things on a coloured background: how many of one, two side by side, and coloured shapes."""

from __future__ import annotations

from random import Random

from xmguard_research.scenes.canvas import Canvas, jittered
from xmguard_research.scenes.concepts import COLOURS, COUNT_WORDS, COUNTS, PAPERS, SHAPES, THINGS, a
from xmguard_research.scenes.spec import Layout, Question, Scene, Slot, Values, asked

THING_NAMES = tuple(THINGS)
COLOUR_NAMES = tuple(COLOURS)
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
_SIDE = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}

BACKGROUND = Slot(
    name="background",
    skill="colour",
    domain=COLOUR_NAMES,
    questions=(
        "What colour is the background?",
        "Which colour is the background of the picture?",
        "Name the colour of the background.",
    ),
    statements=(
        "The background of the picture is {background}.",
        "The background is {background} all over.",
        "The picture has {background} as its background colour.",
    ),
)


def presence(random: Random, shown: str, domain: tuple[str, ...], *, skip: frozenset[str] = frozenset()) -> Question:
    """Is something there? `yes` is as likely as `no`, whatever is asked for."""
    there = random.random() < 0.5
    thing = shown if there else random.choice([name for name in domain if name != shown and name not in skip])
    noun = a(thing)
    wordings = (
        f"Is there {noun} in the picture?",
        f"Does the picture show {noun}?",
        f"Can you see {noun}? Answer yes or no.",
    )
    return asked(random, wordings, "yes" if there else "no", "presence")


def _propose_several(random: Random, split: str) -> dict[str, str]:
    return {
        "thing": random.choice(THING_NAMES),
        "count": random.choice(COUNTS),
        "background": random.choice(COLOUR_NAMES),
    }


def _several_phrases(values: Values) -> dict[str, str]:
    thing, count = THINGS[values["thing"]], values["count"]
    one = count == "1"
    noun = thing.name if one else thing.plural
    return {
        "plural": thing.plural,
        "counted": f"{COUNT_WORDS[count]} {noun}",
        "some": a(thing.name) if one else thing.plural,
        "are": "is" if one else "are",
        "number": f"{count} {noun}",
    }


def _several_more(values: Values, random: Random) -> list[Question]:
    return [presence(random, values["thing"], THING_NAMES)]


def _draw_several(canvas: Canvas, scene: Scene) -> None:
    canvas.panel(scene.values["background"], scene.random("background"))
    emoji = THINGS[scene.values["thing"]].emoji
    says = (scene.values["thing"], scene.values["count"])
    random = scene.random("places")
    for x, y, size in places(random, int(scene.values["count"])):
        canvas.emoji(emoji, (x, y), size, turned=random.uniform(-10, 10), mirrored=random.random() < 0.2, says=says)


def places(random: Random, count: int) -> list[tuple[float, float, float]]:
    """Centres and the common size, in units, of up to nine things that do not touch.

    Of the same generator, fewer things stand where the first of more do.
    """
    cells = [(column, row) for column in range(3) for row in range(3)]
    random.shuffle(cells)
    size = random.uniform(46, 58)
    free = (64 - size) / 2
    centres = [
        (42 + 70 * column + random.uniform(-free, free), 42 + 70 * row + random.uniform(-free, free))
        for column, row in cells
    ]
    return [(x, y, size) for x, y in centres[:count]]


SEVERAL = Layout(
    name="objects.several",
    kind="objects",
    slots=(
        Slot(
            name="thing",
            skill="object",
            domain=THING_NAMES,
            questions=(
                "What is shown in the picture?",
                "What do you see in the picture?",
                "Name what the picture shows.",
            ),
            statements=(
                "The picture shows {some} and nothing else.",
                "Nothing but {some} can be seen in the picture.",
                "All that there is in it {are} {some}.",
            ),
        ),
        Slot(
            name="count",
            skill="count",
            domain=COUNTS,
            questions=(
                "How many {plural} are in the picture?",
                "How many {plural} do you see?",
                "Count the {plural}.",
                "What is the number of {plural} shown?",
            ),
            statements=(
                "There {are} {counted} in the picture.",
                "The picture shows {number}.",
                "Exactly {counted} can be seen.",
            ),
        ),
        BACKGROUND,
    ),
    propose=_propose_several,
    together=(("thing", "count", "background"),),
    draw=_draw_several,
    phrases=_several_phrases,
    more=_several_more,
)


def _where(thing: str, other: str) -> tuple[str, ...]:
    return (
        f"Where is the {thing}, seen from the {other}?",
        f"Is the {thing} left, right, above or below the {other}?",
        f"In which direction from the {other} is the {thing}?",
    )


def _propose_pair(random: Random, split: str) -> dict[str, str]:
    first, second = random.sample(THING_NAMES, 2)
    return {
        "first": first,
        "second": second,
        "relation": random.choice(tuple(OPPOSITE)),
        "background": random.choice(COLOUR_NAMES),
    }


def _two_things(values: Values) -> bool:
    return values["first"] != values["second"]


def _pair_phrases(values: Values) -> dict[str, str]:
    return {
        "beside": _SIDE[values["relation"]],
        "a_first": a(values["first"]),
        "facing": _SIDE[OPPOSITE[values["relation"]]],
    }


def _pair_more(values: Values, random: Random) -> list[Question]:
    first, second, relation = values["first"], values["second"], values["relation"]
    return [
        asked(random, _where(second, first), OPPOSITE[relation], "position"),
        presence(random, random.choice((first, second)), THING_NAMES, skip=frozenset((first, second))),
    ]


def _draw_pair(canvas: Canvas, scene: Scene) -> None:
    values = scene.values
    canvas.panel(values["background"], scene.random("background"))
    random = scene.random("places")
    size, apart, sideways, slant = (
        random.uniform(62, 84),
        random.uniform(96, 116),
        random.uniform(-28, 28),
        random.uniform(-14, 14),
    )
    sign = -1 if values["relation"] in ("left", "above") else 1
    along, across = sign * apart / 2, slant / 2
    if values["relation"] in ("left", "right"):
        first, second = (112 + along, 112 + sideways + across), (112 - along, 112 + sideways - across)
    else:
        first, second = (112 + sideways + across, 112 + along), (112 + sideways - across, 112 - along)
    relation = values["relation"]
    for name, centre, where in (("first", first, relation), ("second", second, OPPOSITE[relation])):
        emoji, turned = THINGS[values[name]].emoji, random.uniform(-10, 10)
        canvas.emoji(emoji, centre, size * random.uniform(0.9, 1.1), turned=turned, says=(values[name], where))


PAIR = Layout(
    name="objects.pair",
    kind="objects",
    slots=(
        Slot(
            name="first",
            skill="object",
            domain=THING_NAMES,
            questions=(
                "What is {beside} the {second}?",
                "Which thing is {beside} the {second}?",
                "The {second} is not alone. What else is in the picture?",
            ),
            statements=(
                "The other thing in the picture, beside the {second}, is {a_first}.",
                "Besides the {second} there is only {a_first}.",
                "The {second} shares the picture with {a_first} alone.",
            ),
        ),
        Slot(
            name="relation",
            skill="position",
            domain=tuple(OPPOSITE),
            questions=_where("{first}", "{second}"),
            statements=(
                "The {first} is {beside} the {second}.",
                "One finds the {first} {beside} the {second}.",
                "The {second} is {facing} the {first}.",
            ),
        ),
        BACKGROUND,
    ),
    propose=_propose_pair,
    together=(("first", "second", "relation"),),
    draw=_draw_pair,
    phrases=_pair_phrases,
    more=_pair_more,
    possible=_two_things,
)


def _propose_shapes(random: Random, split: str) -> dict[str, str]:
    return {
        "shape": random.choice(SHAPES),
        "colour": random.choice(COLOUR_NAMES),
        "count": random.choice(COUNTS),
    }


def _shape_phrases(values: Values) -> dict[str, str]:
    one = values["count"] == "1"
    noun = values["shape"] if one else f"{values['shape']}s"
    return {
        "noun": noun,
        "the_shapes": f"the {noun}",
        "is": "is" if one else "are",
        "coloured": f"{a(values['colour'])} {noun}" if one else f"{values['colour']} {noun}",
        "shaped": f"{a(values['shape'])}" if one else f"{values['shape']}s",
        "counted": f"{COUNT_WORDS[values['count']]} {noun}",
    }


def _shapes_more(values: Values, random: Random) -> list[Question]:
    return [presence(random, values["shape"], SHAPES)]


def _draw_shapes(canvas: Canvas, scene: Scene) -> None:
    values = scene.values
    random = scene.random("background")
    canvas.paper(random.choice(PAPERS), random)
    colour = jittered(COLOURS[values["colour"]], random)
    says = (values["shape"], values["colour"], values["count"])
    for x, y, size in places(scene.random("places"), int(values["count"])):
        canvas.shape(values["shape"], (x, y), size, colour, says=says)


SHAPES_LAYOUT = Layout(
    name="objects.shapes",
    kind="objects",
    slots=(
        Slot(
            name="colour",
            skill="colour",
            domain=COLOUR_NAMES,
            questions=(
                "What colour {is} {the_shapes}?",
                "Which colour do you see on {the_shapes}?",
                "Name the colour of {the_shapes}.",
            ),
            statements=(
                "The picture shows {coloured}.",
                "{the_shapes} in the picture {is} {colour}.",
                "{colour} is the colour of {the_shapes}.",
            ),
        ),
        Slot(
            name="count",
            skill="count",
            domain=COUNTS,
            questions=(
                "How many {shape}s are in the picture?",
                "How many {shape}s do you see?",
                "Count the {shape}s.",
                "What is the number of {shape}s shown?",
            ),
            statements=(
                "There {is} {counted} in the picture.",
                "The picture shows {count} {noun}.",
                "Exactly {counted} can be seen.",
            ),
        ),
        Slot(
            name="shape",
            skill="object",
            domain=SHAPES,
            questions=(
                "Which shape is in the picture?",
                "What shape do you see?",
                "Name the shape in the picture.",
            ),
            statements=(
                "The picture shows {shaped} and no other shape.",
                "Nothing but {shaped} can be seen in the picture.",
                "The only shape in it is the {shape}.",
            ),
        ),
    ),
    propose=_propose_shapes,
    together=(("shape", "colour", "count"),),
    draw=_draw_shapes,
    phrases=_shape_phrases,
    more=_shapes_more,
)
LAYOUTS = (SEVERAL, PAIR, SHAPES_LAYOUT)
