"""Reading: one source in one language, a question, the short answer. No conflict and no second source."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from xmguard.request import Prompt
from xmguard_research.mixing.corpus import SPLITS
from xmguard_research.mixing.generators.options import ReadingOptions
from xmguard_research.mixing.generators.replies import answered
from xmguard_research.mixing.generators.told import Teller, item, of_topic, sized, topics


def reading(options: ReadingOptions) -> Iterator[dict[str, Any]]:
    """An item for every topic, replied to in English: the value alone, or what the source says."""
    teller = Teller(SPLITS[options.split])
    for topic in topics(options):
        random = Random(f"reading:{topic.look}")
        size = sized(options.size, random)
        value = topic.answers[0]
        told = teller.told(topic, options.language, topic.first, size, value)
        meta = of_topic(topic, size, options)
        yield item(
            f"reading/{meta['topic']}/{options.language}/{size}",
            [told],
            topic.question,
            Prompt.STANDARD,
            answered([told.answer], options.reply),
            meta,
        )
