"""Events told as sources, and questions over sources as items. Knows no case and no reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from random import Random
from typing import Any

from xmguard.request import Prompt
from xmguard_research.benchmarks.clqa.corpus import Corpus
from xmguard_research.benchmarks.clqa.paragraphs import SIZES, paragraph
from xmguard_research.benchmarks.clqa.topics import Topic, most
from xmguard_research.benchmarks.clqa.topics import topics as round_of_topics
from xmguard_research.benchmarks.clqa.values import written
from xmguard_research.mixing.corpus import SPLITS, polar_questions
from xmguard_research.mixing.generators import asking
from xmguard_research.mixing.generators.options import Options
from xmguard_research.mixing.generators.replies import grounded

YES, NO = "yes", "no"
_ROUNDS = 100_000
"""Seeds of rounds that belong to one seed of a generator."""


@dataclass(frozen=True)
class Told:
    """A source."""

    text: str
    language: str
    answer: str | None
    """What it answers, in English; None if it does not answer the question that is asked."""


@dataclass(frozen=True)
class Teller:
    """Tells the events of a corpus."""

    corpus: Corpus

    def told(self, topic: Topic, code: str, paraphrase: int, size: str, value: str, *, answers: bool = True) -> Told:
        """The topic in a language, with that value; `answers` is whether the question asked is its own."""
        said = paragraph(topic, self.corpus.language(code), paraphrase, size, value)
        return Told(said.text, code, self.english(topic, value) if answers else None)

    def english(self, topic: Topic, value: str) -> str:
        """The value as an English reply gives it."""
        return written(topic.event.kind, value, self.corpus.english)

    def elsewhere(self, topic: Topic) -> Topic:
        """The same event at another place, with the other value: it does not answer the topic's question."""
        random = Random(f"{topic.look}:elsewhere")
        named = {topic.place, topic.near, topic.far, *topic.answers, *topic.asides}
        place = random.choice([one for one in self.corpus.english.places if one not in named])
        return replace(topic, place=place, look=f"{topic.look}:elsewhere", answers=topic.answers[::-1])


@dataclass(frozen=True)
class Polar:
    """A question for yes or no: whether a value is the one that an event has."""

    question: str
    """English."""
    value: str
    """What is asked about, in English."""

    def answer(self, value: str) -> str:
        """Of a source with that English answer to the event's own question."""
        return YES if value == self.value else NO

    def reply(self, value: str | None) -> str | None:
        """What is replied of such a source; None of one without an answer."""
        return None if value is None else grounded(value, self.answer(value))


def polar(topic: Topic, split: str, value: str) -> Polar:
    """Asks whether the event of a split has the value, as `values` keeps it."""
    corpus = SPLITS[split]
    english = written(topic.event.kind, value, corpus.english)
    return Polar(polar_questions(corpus)[topic.event.name].format(place=topic.place, value=english), english)


def topics(options: Options) -> Iterator[Topic]:
    """So many events of the split, in rounds in which no question is asked twice."""
    corpus = SPLITS[options.split]
    rounds = (
        topic
        for number in count()
        for topic in round_of_topics(corpus, most(corpus), seed=options.seed * _ROUNDS + number)
    )
    return islice(rounds, options.topics)


def sized(size: str, random: Random) -> str:
    """One of the sizes of a paragraph."""
    return random.choice(SIZES) if size == "mixed" else size


def item(
    name: str, told: Sequence[Told], question: str, prompt: Prompt, reply: str, meta: Mapping[str, Any]
) -> dict[str, Any]:
    """A question over told sources, and its reply."""
    sources = [(asking.text(one.text), one.answer) for one in told]
    return asking.item(name, sources, question, prompt, reply, {"languages": [one.language for one in told], **meta})


def of_topic(topic: Topic, size: str, options: Options) -> dict[str, Any]:
    """What `meta` says of every item about the topic."""
    return {
        "topic": f"{options.split}-{topic.name}",
        "event": topic.event.name,
        "kind": topic.event.kind,
        "size": size,
        "split": options.split,
    }
