"""Paragraphs about a topic, with the place of the answer in characters.

Two paragraphs that differ in the value alone are equal elsewhere: sentences and their order depend on neither the value
nor the language. Knows no pairs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from xmguard_research.benchmarks.clqa.languages import SHARED, Language
from xmguard_research.benchmarks.clqa.topics import Topic
from xmguard_research.benchmarks.clqa.values import written

SHORT, LONG = "short", "long"
SIZES = (SHORT, LONG)
"""Two sentences, and 100 to 200 words."""
CHARACTERS_A_WORD = 1.7
"""What counts as a word of Chinese: so many Han characters, punctuation and digits left out."""
_SHARED_SENTENCES = 4
_ANSWER, _ASIDE = "answer", "aside"
_HAN = re.compile(r"[\u4e00-\u9fff]")
_WORD = re.compile(r"\w+(?:[.,:’'·-]\w+)*")


@dataclass(frozen=True)
class Paragraph:
    """A text that answers the question of its topic once."""

    language: str
    paraphrase: int
    """0 or 1."""
    text: str
    start: int
    """First character of the answer in `text`."""
    end: int
    """One past its last."""
    value: str
    """What it answers, as `values` keeps it."""

    @property
    def answer(self) -> str:
        """As the text writes it."""
        return self.text[self.start : self.end]

    @property
    def words(self) -> float:
        """Length in words; see `CHARACTERS_A_WORD`."""
        return words(self.text)


def words(text: str) -> float:
    """Words with spaces around them, and Han characters by `CHARACTERS_A_WORD`."""
    return len(_HAN.findall(text)) / CHARACTERS_A_WORD + len(_WORD.findall(_HAN.sub(" ", text)))


@lru_cache(maxsize=256)
def paragraph(topic: Topic, own: Language, paraphrase: int, size: str, value: str) -> Paragraph:
    """The topic told in a language, in one of two paraphrases, with that value as the answer."""
    wording = own.wordings[topic.event.name]
    slots = {
        "place": own.places[topic.place],
        "near": own.places[topic.near],
        "far": own.places[topic.far],
        "speaker": own.persons[topic.speaker],
    }
    text, start, end = "", 0, 0
    for part, number in _plan(topic, own, paraphrase, size):
        if part == _ANSWER:
            before, after = wording.answer[paraphrase].split("{value}")
            start = len(text) + len(before.format(**slots))
            sentence, stated = before + "{value}" + after, written(topic.event.kind, value, own)
            end = start + len(stated)
        elif part == _ASIDE:
            sentence, stated = wording.aside[paraphrase], written(topic.event.kind, topic.asides[paraphrase], own)
        else:
            sentence, stated = own.around[part][number][paraphrase], ""
        text += sentence.format(**slots, value=stated) + own.separator
    return Paragraph(own.code, paraphrase, text.removesuffix(own.separator), start, end, value)


@lru_cache(maxsize=16)
def _plan(topic: Topic, own: Language, paraphrase: int, size: str) -> tuple[tuple[str, int], ...]:
    """Which sentences in which order. What refers to the news at large comes after the first sentence about it."""
    random = Random(f"{topic.look}:{size}:{paraphrase}")
    opening, other = random.sample([(_ANSWER, 0), (_ASIDE, 0)], 2)
    if size == SHORT:
        return opening, other
    chosen = Random(f"{topic.look}:shared").sample(range(len(own.around[SHARED])), _SHARED_SENTENCES)
    later = [other, *((SHARED, number) for number in chosen)]
    later += [(topic.event.theme, number) for number in range(len(own.around[topic.event.theme]))]
    random.shuffle(later)
    return opening, *later
