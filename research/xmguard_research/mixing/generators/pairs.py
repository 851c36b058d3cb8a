"""Pairs: sources and a question that they answer differently, alike, or not both.

A conflict and its control are twins: one source's answer differs, and the reply; nothing else. Languages, their order,
paraphrases, prompts and phrasings are drawn for both at once, so none of them tells one from the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

from xmguard.request import Prompt
from xmguard_research.benchmarks.clqa.topics import Topic
from xmguard_research.mixing.corpus import SPLITS
from xmguard_research.mixing.generators.cross import at_its_place, followed
from xmguard_research.mixing.generators.options import ABOUT_ANSWERS, EXPLICIT, Case, PairsOptions, PromptName
from xmguard_research.mixing.generators.replies import reply
from xmguard_research.mixing.generators.told import Polar, Teller, Told, item, of_topic, polar, sized

TWINS, ONE_ANSWERS = "twins", "one-answers"
CONFLICT, CONTROL = "conflict", "control"
Name = TypeVar("Name", bound=str)


def pairs(options: PairsOptions) -> Iterator[dict[str, Any]]:
    """Two items for topics that become twins, one for every other topic."""
    teller = Teller(SPLITS[options.split])
    for topic, other in followed(options):
        yield from _Asked(topic, other, teller, options).items()


@dataclass(frozen=True)
class _Asked:
    """A topic, and one of another event beside it."""

    topic: Topic
    other: Topic
    teller: Teller
    options: PairsOptions

    def items(self) -> Iterator[dict[str, Any]]:
        random = Random(f"pairs:{self.topic.look}")
        case = chosen(self.options.kinds, random)
        prompt = asked(self.options.prompts, case, random)
        codes = random.sample(random.choice(self.options.languages), 2)
        size = sized(self.options.size, random)
        sources = self._sources(case, codes, size, random)
        third = random.random() < self.options.third and prompt is not Prompt.EXPLICIT
        if third:
            # It is told in a language that is there already, or it would be known for a third one by that.
            strange = self._strange(random.choice(codes), size, random)
            place = random.randrange(3)
            sources = {name: [*told[:place], strange, *told[place:]] for name, told in sources.items()}
        said, polar = random.random(), self._polar(case)
        for name, told in sources.items():
            yield self._item(name, case, told, size, prompt, polar, Random(said))

    def _polar(self, case: Case) -> Polar | None:
        """What is asked in place of the event's own question, if it is. Drawn apart: all else is as without it."""
        random = Random(f"polar:{self.topic.look}")
        if random.random() >= self.options.polar:
            return None
        # A value that the sources tell of something else is answered no, too; but then twins would not differ.
        values = self.topic.answers if case == TWINS else (*self.topic.answers, self.topic.asides[0])
        return polar(self.topic, self.options.split, random.choice(values))

    def _sources(self, case: str, codes: Sequence[str], size: str, random: Random) -> Mapping[str, list[Told]]:
        """By the name of the item; twins are two."""
        topic, tell = self.topic, self.teller.told
        stated, different = topic.answers
        paraphrases = (topic.first, 1 - topic.first)
        told = [tell(topic, code, way, size, stated) for code, way in zip(codes, paraphrases, strict=True)]
        if case in ABOUT_ANSWERS:
            changed = topic.changed
            twin = tell(topic, codes[changed], paraphrases[changed], size, different)
            one = random.randrange(2)
            conflict = [twin if side == changed else told[side] for side in range(2)]
            if case == TWINS:
                return {CONFLICT: conflict, CONTROL: told}
            # Also of the other value, so that neither is the one that consistent sources have.
            return {
                CONTROL: [
                    tell(topic, codes[side], paraphrases[side], size, (stated, different)[one]) for side in (0, 1)
                ]
            }
        strange = [self._strange(code, size, random) for code in codes]
        if case == ONE_ANSWERS:
            side = random.randrange(2)
            strange[side] = told[side]
        return {case: strange}

    def _strange(self, code: str, size: str, random: Random) -> Told:
        """A source that does not answer: about the same at another place, or about something else."""
        beside = (
            self.teller.elsewhere(self.topic) if random.randrange(2) else at_its_place(self.other, self.topic, random)
        )
        return self.teller.told(beside, code, random.randrange(2), size, beside.answers[0], answers=False)

    def _item(
        self, name: str, case: str, told: list[Told], size: str, prompt: Prompt, polar: Polar | None, random: Random
    ) -> dict[str, Any]:
        question, form = self.topic.question, ""
        replied = [one.answer for one in told]
        if polar is not None:
            question, form = polar.question, "/polar"
            replied = [polar.reply(value) for value in replied]
            told = [one if one.answer is None else replace(one, answer=polar.answer(one.answer)) for one in told]
        said = reply(replied, prompt, self.options.phrasings, random)
        meta = of_topic(self.topic, size, self.options)
        codes = "-".join(one.language for one in told)
        return item(
            f"pairs/{meta['topic']}/{codes}/{size}/{prompt.name.lower()}/{name}{form}",
            told,
            question,
            prompt,
            said,
            meta | {"case": case, "name": name},
        )


def asked(prompts: Mapping[PromptName, float], case: Case, random: Random) -> Prompt:
    """One of the prompts that can ask of a case, by weight.

    `explicit` asks whether all answers are the same, which is no question where a source has none.
    """
    asks = {name: weight for name, weight in prompts.items() if name != EXPLICIT or case in ABOUT_ANSWERS}
    return Prompt[chosen(asks, random).upper()]


def chosen(weights: Mapping[Name, float], random: Random) -> Name:
    """One of several, by weight."""
    (one,) = random.choices(list(weights), list(weights.values()))
    return one
