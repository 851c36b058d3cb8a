"""What a checkpoint is asked: conflicts with their controls, and questions that have one answer.

From the suites' own items, so that a checkpoint is measured on what everything else is measured on. `dev` is made as
CLQA is, of the generators' dev texts, to choose by: what was chosen on CLQA can no longer be measured by it.
`dev-polar` asks the same sources for yes or no. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from xmguard import Span
from xmguard.errors import InvalidRequest
from xmguard_research.analyses.groups import sides
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.protocol import PROMPTS

if TYPE_CHECKING:
    from xmguard_research.benchmarks.clqa.corpus import Corpus
    from xmguard_research.benchmarks.clqa.topics import Topic

CLQA, CMQA, DEV, DEV_POLAR = "clqa", "cmqa", "dev", "dev-polar"
SUITES = (CLQA, CMQA, DEV, DEV_POLAR)
OF_LANGUAGES = (CLQA, DEV, DEV_POLAR)
"""Suites whose variants are languages."""
CONFLICT, SINGLE, CROSS = "conflict", "single-source", "cross-source"
"""What is asked for: one answer from two sources that agree or do not; one from one source; one from two sources about
different things, of which the question is about one."""
ORDERED = ">"
"""Stands between the two labels of a variant whose order of reading is meant: `en>es`."""
T = TypeVar("T")


@dataclass(frozen=True)
class Posed:
    """A case and how it is put."""

    suite: str
    task: str
    """`CONFLICT`, `SINGLE` or `CROSS`."""
    case: Case
    prompts: tuple[str, ...]
    """By name, of `PROMPTS`."""
    labels: tuple[str, ...]
    """Language or modality of each source, in the order in which they are read."""
    expected: str = ""
    """The one right answer of a question; empty where a conflict is asked for."""

    @property
    def variant(self) -> str:
        """Its labels without regard to order: `en-es`, `text-image`; of one source the label itself."""
        if len(self.labels) == 1:
            return self.labels[0]
        own = sides(self.labels)
        return f"{self.labels[own.a]}-{self.labels[own.b]}"


@dataclass(frozen=True)
class Wanted:
    """What to ask of one suite."""

    suite: str
    variants: tuple[str, ...]
    """Languages or modalities, without regard to order."""
    items: int
    """Topics or triples that conflicts are made of."""
    questions: int
    """Topics or triples that questions with one answer are made of."""
    prompts: tuple[str, ...] = tuple(PROMPTS)
    size: str = "short"
    """Of the paragraphs of suites of languages."""
    kinds: tuple[str, ...] = ()
    """Of CMQA's scenes; empty for all."""
    style: str = "noto"
    """Of CMQA's pictures."""
    seed: int | None = None
    """Of the suite's items; None is the suite's own."""

    def __post_init__(self) -> None:
        """Raises InvalidRequest: what is wanted does not exist, is there twice, or is nothing; the field is named."""
        if self.suite not in SUITES:
            raise InvalidRequest.field("suites", f"{self.suite!r} is not one of {', '.join(SUITES)}")
        if unknown := [name for name in self.prompts if name not in PROMPTS]:
            raise InvalidRequest.field("prompts", f"{unknown[0]!r} is not one of {', '.join(PROMPTS)}")
        if not self.prompts or not self.variants:
            raise InvalidRequest.field("variants" if self.prompts else "prompts", f"{self.suite} needs at least one")
        for field, names in (("variants", self.variants), ("prompts", self.prompts)):
            if twice := [name for name in names if names.count(name) > 1]:
                raise InvalidRequest.field(
                    field, f"{twice[0]!r} is there twice, and would be counted twice; name it once"
                )
        if not self.items and not self.questions:
            raise InvalidRequest.field("items", f"and questions are 0, so that nothing is asked of {self.suite}")

    @property
    def labels(self) -> list[str]:
        """Every language or modality of the variants, in their order."""
        return list(dict.fromkeys(label for variant in self.variants for label in variant.split("-")))

    @property
    def setting(self) -> dict[str, Any]:
        """What of it numbers are of beside suite, variant and prompt, for files."""
        own = {"size": self.size} if self.suite in OF_LANGUAGES else {"kinds": [*self.kinds], "style": self.style}
        return {**own, "seed": self.seed}

    @property
    def crossing(self) -> list[tuple[str, str]]:
        """Pairs of different ones."""
        pairs = [variant.split("-") for variant in self.variants]
        return [(first, second) for first, second in pairs if first != second]


def posed(wanted: Wanted) -> Iterator[Posed]:
    """Everything that is wanted of a suite: conflicts and controls in both orders, then questions.

    Raises:
        InvalidRequest: the suite has no such variant, or not so many items.
        SetupIncomplete: art that its pictures need is not on this machine.
    """
    made = (_told_pairs, _told_questions) if wanted.suite in OF_LANGUAGES else (_cmqa_pairs, _cmqa_questions)
    return chain.from_iterable(make(wanted) for make in made)


def _texts(suite: str) -> Corpus:
    from xmguard_research.benchmarks.clqa import corpus as clqa
    from xmguard_research.mixing import corpus as generated

    return clqa.CLQA if suite == CLQA else generated.SPLITS[generated.DEV]


def _asked(suite: str, topic: Topic) -> tuple[str, Callable[[str], str]]:
    """What is asked of a topic, and what answers that of a source with some English answer to the topic's question."""
    if suite != DEV_POLAR:
        return topic.question, str
    from xmguard_research.mixing.corpus import DEV as SPLIT
    from xmguard_research.mixing.generators.told import polar

    # Of what sources that agree say, and of the other value, by turns: as many yes as no.
    put = polar(topic, SPLIT, topic.answers[topic.number % 2])
    return put.question, put.answer


def _told_pairs(wanted: Wanted) -> Iterator[Posed]:
    from xmguard_research.benchmarks.clqa.items import items, parse_variant
    from xmguard_research.benchmarks.clqa.suites import of_items
    from xmguard_research.benchmarks.clqa.topics import topics

    chosen = [parse_variant(one) for one in wanted.variants]
    if not wanted.items:
        return
    corpus = _texts(wanted.suite)
    drawn = items(wanted.items, seed=wanted.seed or 0, chosen=chosen, sizes=[wanted.size], corpus=corpus)
    asks = {topic.name: _asked(wanted.suite, topic) for topic in topics(corpus, wanted.items, seed=wanted.seed or 0)}
    for case in of_items(drawn):
        labels = tuple(span.language for span in case.spans)
        question, answer = asks[case.item]
        put = replace(case, question=question, answers=tuple(map(answer, case.answers)))
        yield Posed(wanted.suite, CONFLICT, put, wanted.prompts, labels)


def _told_questions(wanted: Wanted) -> Iterator[Posed]:
    """Every topic alone in every language; and beside the next topic in another, which is asked about taking turns."""
    from xmguard_research.benchmarks.clqa.paragraphs import paragraph
    from xmguard_research.benchmarks.clqa.topics import topics
    from xmguard_research.benchmarks.clqa.values import written

    corpus = _texts(wanted.suite)
    drawn = list(topics(corpus, wanted.questions, seed=wanted.seed or 0)) if wanted.questions else []

    def source(topic: Topic, code: str) -> Span:
        own = corpus.language(code)
        return Span("s1", paragraph(topic, own, topic.first, wanted.size, topic.answers[0]).text, language=code)

    def posed(task: str, asked: Topic, sources: Sequence[tuple[Topic, str]]) -> Posed:
        labels = tuple(code for _, code in sources)
        spans = [source(topic, code) for topic, code in sources]
        question, answer = _asked(wanted.suite, asked)
        expected = answer(written(asked.event.kind, asked.answers[0], corpus.english))
        return _question(wanted.suite, task, asked.name, question, spans, labels, expected)

    for code in wanted.labels:
        for topic in drawn:
            yield posed(SINGLE, topic, [(topic, code)])
    for first, second in wanted.crossing:
        for number, topic in enumerate(drawn):
            other = drawn[(number + 1) % len(drawn)]
            if other.event.name != topic.event.name:  # the last and the first may be of one event
                yield posed(CROSS, topic, _turned(number, (topic, other), (first, second)))


def _cmqa_pairs(wanted: Wanted) -> Iterator[Posed]:
    from xmguard_research.benchmarks.cmqa.items import SEED, items
    from xmguard_research.benchmarks.cmqa.suites import of_items
    from xmguard_research.scenes import KINDS

    both = [f"{second}-{first}" for first, second in wanted.crossing]
    variants = list(dict.fromkeys((*wanted.variants, *both)))
    if not wanted.items:
        return
    seed = SEED if wanted.seed is None else wanted.seed
    drawn = items(wanted.items, seed=seed, variants=variants, kinds=wanted.kinds or KINDS)
    for case in of_items(drawn, wanted.style):
        yield Posed(CMQA, CONFLICT, case, wanted.prompts, tuple(case.variant.split("-")))


def _cmqa_questions(wanted: Wanted) -> Iterator[Posed]:
    """Every scene told and drawn alone; and told beside the next one drawn, or drawn beside it told."""
    from xmguard.parts import IMAGE, TEXT
    from xmguard_research.benchmarks.cmqa.items import SEED, Item, items
    from xmguard_research.benchmarks.cmqa.suites import of_items
    from xmguard_research.scenes import KINDS

    if not wanted.questions:
        return
    seed = SEED if wanted.seed is None else wanted.seed
    pair = f"{TEXT}-{IMAGE}"
    every = items(wanted.questions, seed=seed, variants=[pair], kinds=wanted.kinds or KINDS)
    drawn: list[Item] = [item for item in every if item.pair == "aa"]
    spans = {
        item.id: dict(zip((TEXT, IMAGE), case.spans, strict=True))
        for item, case in zip(drawn, of_items(drawn, wanted.style), strict=True)
    }

    def posed(task: str, asked: Item, sources: Sequence[tuple[Item, str]]) -> Posed:
        labels = tuple(modality for _, modality in sources)
        own = [spans[item.id][modality] for item, modality in sources]
        return _question(CMQA, task, asked.triple, asked.question, own, labels, asked.answers[0])

    for modality in wanted.labels:
        for item in drawn:
            yield posed(SINGLE, item, [(item, modality)])
    for first, second in wanted.crossing:
        for number, item in enumerate(drawn):
            other = drawn[(number + 1) % len(drawn)]
            if other.kind != item.kind:  # a question about one of two scenes of a kind would have two answers
                yield posed(CROSS, item, _turned(number, (item, other), (first, second)))


def _turned(number: int, topics: tuple[T, T], labels: tuple[str, str]) -> list[tuple[T, str]]:
    """The asked topic in one language or the other, and at one place or the other: all four take turns."""
    sources = list(zip(topics, labels[:: -1 if number % 2 else 1], strict=True))
    return sources[:: -1 if number // 2 % 2 else 1]


def _question(
    suite: str, task: str, item: str, question: str, spans: Sequence[Span], labels: tuple[str, ...], answer: str
) -> Posed:
    named = tuple(replace(span, id=f"s{number}") for number, span in enumerate(spans, start=1))
    case = Case(f"{item}/{task}/{ORDERED.join(labels)}", item, "-".join(labels), question, named, False, (answer,))
    return Posed(suite, task, case, ("standard",), labels, answer)
