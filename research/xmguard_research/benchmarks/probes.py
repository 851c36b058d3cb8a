"""Probes: requests whose responses are measured by what they say, not only by whether they report a conflict.

A suite of probes brings its own scorers and asks in its own words, so that every model reads the same. `measured` makes
a task of inspect_ai of one. Knows no suite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import NOANSWER, Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState

from xmguard import AnswerRequest, AnswerResponse, Detail, Media, Rebalance, Span, load_plugins
from xmguard.context import ENGLISH
from xmguard.errors import InvalidRequest
from xmguard.prompt_text import PromptText
from xmguard.request import Prompt
from xmguard_research.benchmarks.asking import message
from xmguard_research.benchmarks.cases import whole_items
from xmguard_research.benchmarks.pictures import PNG, small
from xmguard_research.benchmarks.protocol import OWN
from xmguard_research.benchmarks.providers import response_of
from xmguard_research.benchmarks.scoring import BESIDE_THE_POINT, STEERED, beside, says_conflict
from xmguard_research.benchmarks.settings import LATER, Settings, listed
from xmguard_research.benchmarks.tasks import with_settings

if TYPE_CHECKING:
    from PIL import Image

Facts = Mapping[str, Any]
"""What a scorer goes by; JSON values."""


@dataclass(frozen=True)
class Probe:
    """A question over sources."""

    id: str
    """Unique in its suite."""
    item: str
    """Probes of one item stay together when some are drawn, and in bootstrap draws."""
    variant: str
    prompt: str
    """In which words it is asked, as the suite names them."""
    question: str
    spans: tuple[Span, ...]
    """With the ids `s1`, `s2`, ..."""
    conflict: bool | None
    """Whether the sources contradict each other; None where there is one source, or nobody asks."""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What a measure found in a response."""

    found: bool
    amounts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    """The words that it goes by."""


Measure = Callable[[str, Facts, AnswerResponse | None], Found | None]
"""(response, facts of the probe, what else a model of ours says) to what was found; None: it is beside the point."""


def measured(
    scorers: Callable[[Settings], Sequence[Scorer]],
) -> Callable[[Callable[..., Iterable[Probe]]], Callable[..., Task]]:
    """Makes a task of a function that gives probes, as `tasks.suite` does of one that gives cases.

    A suite of probes asks in its own words: `prompts` must leave `standard` in,
    and another protocol or pairing is refused.
    """

    def decorated(given: Callable[..., Iterable[Probe]]) -> Callable[..., Task]:
        def made(probes: Iterable[Probe], name: str, settings: Settings) -> Task:
            _own_words(name, settings)
            said = load_plugins().languages.items[ENGLISH].prompt_text
            rebalance = settings.rebalance_of(crosses=False)
            samples = [_sample(one, said, rebalance) for one in whole_items(probes, settings.items)]
            return Task(
                MemoryDataset(samples, name=name),
                scorer=list(scorers(settings)),
                config=GenerateConfig(max_tokens=int(settings.max_tokens), temperature=float(settings.temperature)),
                name=name,
                version="; ".join(settings.texts.values()) or 0,
                metadata={"suite": name, "setting": settings.label},
            )

        return with_settings(given, made)

    return decorated


def _own_words(name: str, settings: Settings) -> None:
    if "standard" not in listed(settings.prompts):
        raise InvalidRequest.field("prompts", f"suite {name} has prompts of its own, which go with standard")
    if settings.protocol != OWN or settings.pairing:
        field = "pairing" if settings.protocol == OWN else "protocol"
        raise InvalidRequest.field(field, f"suite {name} asks in words of its own; leave it out")


def rules_alone(settings: Settings) -> None:
    """Refuse a judge that would not be asked.

    Raises:
        InvalidRequest: one is named.
    """
    if settings.judge != "rules":
        raise InvalidRequest.field("judge", f"this suite has rules of its own; {settings.judge!r} would not be asked")


def judged(settings: Settings) -> Scorer:
    """Whether a response reports a conflict, as in suites of cases; not asked where a probe's `conflict` is None."""
    return says_conflict(settings.judge, **settings.judging)


def scored(measure: Measure) -> Scorer:
    """The scorer of a measure; its name is the function's."""

    @scorer(name=measure.__name__, metrics=[found()])
    def made() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            response = response_of(state.output)
            said = await asyncio.to_thread(measure, state.output.completion, state.metadata["facts"], response)
            if said is None:
                return Score(value=NOANSWER, answer=state.output.completion, metadata={BESIDE_THE_POINT: True})
            return Score(
                value="yes" if said.found else "no",
                answer=state.output.completion,
                explanation=said.reason or None,
                metadata={"reported": said.found, "amounts": dict(said.amounts), **beside(state)},
            )

        return score

    return made()


@metric
def found() -> Metric:
    """Share of the responses that the measure is about in which it found what it looks for; nan without one."""

    def of(scores: list[SampleScore]) -> float:
        said = [(one.score.metadata or {}).get("reported") for one in scores]
        told = [one for one in said if one is not None]
        return sum(told) / len(told) if told else float("nan")

    return of


def picture(name: str, image: Image.Image) -> Span:
    """A picture as a source."""
    return Span(name, media=Media(PNG, small(image)))


def _sample(probe: Probe, said: PromptText, rebalance: Rebalance) -> Sample:
    # Nothing can be rebalanced where there is one source, and a bias on another is refused.
    # A suite's cases have two sources, and settings name the later one by its place; a probe's may be the fifth.
    last = {probe.spans[-1].id: rebalance.bias[LATER]} if LATER in rebalance.bias else {}
    steered = replace(rebalance, bias=last) if len(probe.spans) > 1 else Rebalance("none")
    request = AnswerRequest(
        spans=probe.spans,
        question=probe.question,
        prompt=Prompt.STANDARD,
        rebalance=steered,
        detail=Detail(alone_answers=len(probe.spans) == 1),
    )
    return Sample(
        id=probe.id,
        input=[message(request, said)],
        target="",
        metadata={
            "item": probe.item,
            "variant": probe.variant,
            "prompt": probe.prompt,
            "conflict": probe.conflict,
            "asked": probe.question,
            "facts": dict(probe.facts),
            STEERED: rebalance.policy != "none",
        },
    )
