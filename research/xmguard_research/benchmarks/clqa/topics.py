"""Topics: an event at a place, with everything about it that its paragraphs say, in no language.

What is drawn depends on the seed and the topic's number alone; what must be balanced takes turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.clqa.corpus import Corpus
from xmguard_research.benchmarks.clqa.events import Event
from xmguard_research.benchmarks.clqa.values import draw

TOPICS = 400
_DRAWN = 4


@dataclass(frozen=True)
class Topic:
    """One event. Names are Latin spellings, values as `values` keeps them."""

    number: int
    event: Event
    place: str
    near: str
    """Where the other value of the first paraphrase belongs; the very place in every other group of eight topics."""
    far: str
    """The same for the second paraphrase, in every other group of sixteen."""
    speaker: str
    answers: tuple[str, str]
    """What is stated, and what a contradicting paragraph states instead; drawn alike, so that neither looks changed."""
    asides: tuple[str, str]
    """The other value in each paraphrase; the same one in every other group of four topics, about another thing."""
    changed: int
    """Whether the first or the second language of a variant contradicts, 0 or 1."""
    first: int
    """Which paraphrase the first language of a variant uses, 0 or 1; the second uses the other."""
    look: str
    """Seed of the order of sentences."""

    @property
    def name(self) -> str:
        """Identifies it among the topics of all seeds."""
        return f"{self.look.replace(':', '-')}-{self.event.name}"

    @property
    def question(self) -> str:
        """In English, as always."""
        return self.event.question.format(place=self.place)


def most(corpus: Corpus) -> int:
    """How many topics there can be before a question repeats."""
    return len(corpus.events) * len(corpus.english.places)


def topics(corpus: Corpus, count: int = TOPICS, *, seed: int = 0) -> Iterator[Topic]:
    """The first `count` of a seed; neighbours are of different events.

    Raises:
        InvalidRequest: there are not that many.
    """
    if not 0 < count <= most(corpus):
        raise InvalidRequest.field("topics", f"must be 1 to {most(corpus)}, not {count}: no question is asked twice")
    return (_topic(corpus, number, seed) for number in range(count))


def _topic(corpus: Corpus, number: int, seed: int) -> Topic:
    event = list(corpus.events.values())[number % len(corpus.events)]
    places = list(corpus.english.places)
    place = Random(f"{seed}:{event.name}").sample(places, len(places))[number // len(corpus.events)]
    look = f"{seed}:{number}"
    random = Random(look)
    near, far = random.sample([other for other in places if other != place], 2)
    speaker = random.choice(list(corpus.english.persons))
    stated, other, aside, another = draw(corpus, event, random, _DRAWN, without=frozenset({place, near, far, speaker}))
    return Topic(
        number=number,
        event=event,
        place=place,
        near=near if number // 8 % 2 else place,
        far=far if number // 16 % 2 else place,
        speaker=speaker,
        answers=(stated, other),
        asides=(aside, another if number // 4 % 2 else aside),
        changed=number // 2 % 2,
        first=number % 2,
        look=look,
    )
