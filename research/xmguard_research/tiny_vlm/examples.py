"""What is learned from: pictures with their questions, sentences with theirs, and both together.

Sentences and a picture in one context are of scenes of two kinds, so that as a rule only one of them says what is
asked, and nothing teaches the model which of two sources to believe; both may say a background's colour. Knows no
model.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from xmguard_research.tiny_vlm.features import Seen
from xmguard_research.tiny_vlm.prompts import Asked, Conversation, Prompter
from xmguard_research.tiny_vlm.recipe import Recipe

SMALL_PRINT = ("document", "table", "paragraph")
"""Kinds of pictures that are all text."""
DESCRIBE = ("Describe the picture.", "What is there to see? Answer in sentences.", "Say in sentences what is shown.")


def told(scene: Any, generator: random.Random) -> tuple[str, tuple[Asked, ...]]:
    """A scene in words: one statement of every fact in any order, and a question about each."""
    facts = list(scene.facts)
    generator.shuffle(facts)
    text = " ".join(generator.choice(fact.statements) for fact in facts)
    return text, tuple(Asked(generator.choice(fact.questions), fact.answer, fact.skill) for fact in facts)


def described(one: Seen, generator: random.Random) -> Asked:
    """A task to describe a picture: one of the two statements of every fact, in any order."""
    said = [generator.choice(pair) for pair in zip(one.sentences[::2], one.sentences[1::2], strict=True)]
    generator.shuffle(said)
    return Asked(generator.choice(DESCRIBE), " ".join(said), "description")


def conversations(
    seen: Sequence[Seen], scenes: Iterable[Any], prompter: Prompter, recipe: Recipe
) -> list[Conversation]:
    """One for every picture, some with sentences beside it, and some of sentences alone.

    `scenes` are other scenes than the pictures', with `kind` and `facts`; there are as many as are needed.
    """
    generator = random.Random(recipe.seed)
    texts: Iterator[Any] = iter(scenes)
    lone = 1.0 - recipe.texts
    found = []
    for index, one in enumerate(seen):
        if one.kind in SMALL_PRINT and generator.random() >= recipe.small_print:
            continue
        if generator.random() < recipe.mixed / lone:
            text, about = told(next(scene for scene in texts if scene.kind != one.kind), generator)
            spans = [None, text] if generator.random() < 0.5 else [text, None]
            asked = generator.sample([*one.asked, *about], min(5, len(one.asked) + len(about)))
            found.append(prompter.conversation(spans, [replace(each, joint=True) for each in asked], index))
        else:
            asked = list(one.asked)
            if generator.random() < recipe.described:
                asked = [described(one, generator), *(each for each in asked if each.skill != "presence")]
            found.append(prompter.conversation([None], _styled(asked, generator, recipe.joint), index))
        if generator.random() < recipe.texts / lone:
            text, about = told(next(texts), generator)
            found.append(prompter.conversation([text], _styled(about, generator, recipe.joint)))
    return found


def _styled(asked: Sequence[Asked], generator: random.Random, joint: float) -> list[Asked]:
    return [replace(one, joint=generator.random() < joint) for one in asked]
