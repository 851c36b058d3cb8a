"""Cross: two sources about different things, and a question that one of them answers. Nothing can be a conflict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

from xmguard.request import Prompt
from xmguard_research.benchmarks.clqa.topics import Topic
from xmguard_research.mixing.corpus import SPLITS
from xmguard_research.mixing.generators.options import CrossOptions, Options
from xmguard_research.mixing.generators.replies import answered
from xmguard_research.mixing.generators.told import Teller, item, of_topic, sized, topics


def cross(options: CrossOptions) -> Iterator[dict[str, Any]]:
    """An item for every topic, replied to in English: the value alone, or what each source says."""
    teller = Teller(SPLITS[options.split])
    for topic, other in followed(options):
        random = Random(f"cross:{topic.look}")
        size = sized(options.size, random)
        codes = random.sample(random.choice(options.languages), 2)
        value = topic.answers[0]
        sources = [
            teller.told(topic, codes[0], random.randrange(2), size, value),
            teller.told(
                at_its_place(other, topic, random), codes[1], random.randrange(2), size, other.answers[0], answers=False
            ),
        ]
        random.shuffle(sources)
        meta = of_topic(topic, size, options)
        yield item(
            f"cross/{meta['topic']}/{'-'.join(one.language for one in sources)}/{size}",
            sources,
            topic.question,
            Prompt.STANDARD,
            answered([one.answer for one in sources], options.reply),
            meta | {"other_event": other.event.name},
        )


def followed(options: Options) -> Iterator[tuple[Topic, Topic]]:
    """Every topic, and the next one: neighbours are of different events."""
    return pairwise(topics(options.model_copy(update={"topics": options.topics + 1})))


def at_its_place(other: Topic, topic: Topic, random: Random) -> Topic:
    """The other topic, in half of the cases moved to the topic's place."""
    taken = {other.near, other.far, *other.answers, *other.asides}
    if random.randrange(2) and topic.place not in taken:
        return replace(other, place=topic.place, look=f"{other.look}:moved")
    return other
