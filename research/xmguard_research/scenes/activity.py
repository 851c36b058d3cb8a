"""Somebody does something outdoors, and a thing is there too."""

from __future__ import annotations

from random import Random

from xmguard_research.scenes.canvas import Canvas
from xmguard_research.scenes.concepts import ACTIVITIES, PART_OF_ACTIVITIES, SKIES, THINGS, a
from xmguard_research.scenes.objects import presence
from xmguard_research.scenes.spec import Layout, Question, Scene, Slot, Values, asked

ACTIVITY_NAMES = tuple(ACTIVITIES)
COMPANIONS = tuple(name for name in THINGS if name not in PART_OF_ACTIVITIES)


def _propose(random: Random, split: str) -> dict[str, str]:
    return {
        "activity": random.choice(ACTIVITY_NAMES),
        "thing": random.choice(COMPANIONS),
        "sky": random.choice(tuple(SKIES)),
    }


def _phrases(values: Values) -> dict[str, str]:
    return {"a_thing": a(values["thing"])}


def _more(values: Values, random: Random) -> list[Question]:
    there = random.random() < 0.5
    others = [name for name in ACTIVITY_NAMES if name != values["activity"]]
    activity = values["activity"] if there else random.choice(others)
    wordings = (
        f"Is the person {activity}?",
        f"Is anybody {activity} in the picture?",
        f"Does the picture show somebody {activity}?",
    )
    return [
        asked(random, wordings, "yes" if there else "no", "presence"),
        presence(random, values["thing"], COMPANIONS),
    ]


def _draw(canvas: Canvas, scene: Scene) -> None:
    horizon = canvas.outdoors(scene.values["sky"], scene.random("background"))
    random = scene.random("places")
    people = ACTIVITIES[scene.values["activity"]]
    # Drawn for every activity, whether it has variants or not, so that twins have the rest in common.
    variant, size, side = random.random(), random.uniform(104, 132), random.choice((-1, 1))
    mirrored = random.random() < 0.5
    canvas.emoji(
        people[int(variant * len(people))],
        (112 + side * random.uniform(28, 42), horizon - random.uniform(18, 40)),
        size,
        turned=random.uniform(-5, 5),
        mirrored=mirrored,
        says=(scene.values["activity"],),
    )
    canvas.emoji(
        THINGS[scene.values["thing"]].emoji,
        (112 - side * random.uniform(64, 76), random.uniform(horizon - 4, 184)),
        random.uniform(48, 62),
        turned=random.uniform(-10, 10),
        says=(scene.values["thing"],),
    )


LAYOUT = Layout(
    name="activity",
    kind="activity",
    slots=(
        Slot(
            name="activity",
            skill="activity",
            domain=ACTIVITY_NAMES,
            questions=(
                "What is the person doing?",
                "Which activity is shown?",
                "What is somebody doing in the picture?",
                "Name the activity in the picture.",
            ),
            statements=(
                "The person is {activity}.",
                "What the person does is {activity}.",
                "The picture shows somebody {activity}.",
            ),
        ),
        Slot(
            name="thing",
            skill="object",
            domain=COMPANIONS,
            questions=(
                "What is next to the person?",
                "What thing is near the person?",
                "Besides the person, what is in the picture?",
            ),
            statements=(
                "The thing near the person is {a_thing}.",
                "What one sees next to the person is {a_thing}.",
                "Besides the person the picture shows only {a_thing}.",
            ),
        ),
        Slot(
            name="sky",
            skill="colour",
            domain=tuple(SKIES),
            questions=("What colour is the sky?", "Which colour does the sky have?", "Name the colour of the sky."),
            statements=(
                "The sky is {sky}.",
                "The colour of the sky is {sky}.",
                "Above the person the sky is {sky}.",
            ),
        ),
    ),
    propose=_propose,
    together=(("activity", "thing"),),
    draw=_draw,
    phrases=_phrases,
    more=_more,
)
LAYOUTS = (LAYOUT,)
