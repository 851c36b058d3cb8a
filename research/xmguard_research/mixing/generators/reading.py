"""Reading: one source in one language, a question, the short answer. No conflict and no second source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from xmguard.request import Prompt
from xmguard_research.mixing.corpus import SPLITS
from xmguard_research.mixing.generators.options import ReadingOptions
from xmguard_research.mixing.generators.replies import answered
from xmguard_research.mixing.generators.told import Teller, item, of_topic, polar, sized, topics


def reading(options: ReadingOptions) -> Iterator[dict[str, Any]]:
    """An item for every topic, replied to in English: the value alone, or what the source says."""
    teller = Teller(SPLITS[options.split])
    for topic in topics(options):
        random = Random(f"reading:{topic.look}")
        size = sized(options.size, random)
        value = topic.answers[0]
        told = teller.told(topic, options.language, topic.first, size, value)
        meta = of_topic(topic, size, options)
        question, said, form = topic.question, told.answer, ""
        drawn = Random(f"polar:{topic.look}")
        if told.answer is not None and drawn.random() < options.polar:
            asked = polar(topic, options.split, drawn.choice((*topic.answers, topic.asides[0])))
            question, said, form = asked.question, asked.reply(told.answer), "/polar"
            told = replace(told, answer=asked.answer(told.answer))
        yield item(
            f"reading/{meta['topic']}/{options.language}/{size}{form}",
            [told],
            question,
            Prompt.STANDARD,
            answered([said], options.reply),
            meta,
        )
