"""Suites as tasks of inspect_ai, which knows them as `clqa_mini`, or `xmguard_research/clqa_mini` from a wheel.

A suite is a function that gives cases; `suite` makes a task of it, which takes the settings of every suite too. A
sample is a case under one of the prompts. Knows no report.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig

from xmguard import AnswerRequest, load_plugins
from xmguard.context import ENGLISH
from xmguard.prompt_text import QUESTION, PromptText
from xmguard_research.benchmarks.asking import message
from xmguard_research.benchmarks.cases import Case, whole_items
from xmguard_research.benchmarks.protocol import PROMPTS
from xmguard_research.benchmarks.scoring import STEERED, says_conflict
from xmguard_research.benchmarks.settings import NAMES, Settings

T = TypeVar("T")


def suite(cases: Callable[..., Iterable[Case]]) -> Callable[..., Task]:
    """The task of a suite of cases: its own options are those of the function, beside `Settings`.

    The suite's name is the function's, with hyphens; the task's is the function's.
    """
    return with_settings(cases, lambda drawn, name, settings: conflicts(drawn, name=name, settings=settings))


def with_settings(
    given: Callable[..., Iterable[T]], made_of: Callable[[Iterable[T], str, Settings], Task]
) -> Callable[..., Task]:
    """The task that `made_of` makes of what a function gives, of the suite's name and of the settings that it is told.

    See `suite` for options and names.
    """
    name = given.__name__.replace("_", "-")

    def made(*arguments: Any, **options: Any) -> Task:
        settings = Settings(**{key: options.pop(key) for key in NAMES if key in options})
        return made_of(given(*arguments, **options), name, settings)

    made.__name__, made.__module__ = given.__name__, given.__module__
    made.__qualname__, made.__doc__ = given.__qualname__, given.__doc__
    own = inspect.signature(given, eval_str=True)
    shared = inspect.signature(Settings, eval_str=True).parameters.values()
    told = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in shared]
    made.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), *told], return_annotation=Task
    )
    return task(made)


def conflicts(cases: Iterable[Case], *, name: str, settings: Settings) -> Task:
    """A task of cases whose sources contradict each other or not.

    Raises:
        InvalidRequest: the settings do not go together.
    """
    own = load_plugins().languages.items[ENGLISH].prompt_text
    samples = [
        _sample(case, prompt, own, settings)
        for case in whole_items(cases, settings.items)
        for prompt in settings.prompts_of(case.crosses_modalities)
    ]
    return Task(
        MemoryDataset(samples, name=name),
        scorer=says_conflict(settings.judge, **settings.judging),
        config=GenerateConfig(max_tokens=int(settings.max_tokens), temperature=float(settings.temperature)),
        name=name,
        version="; ".join(settings.texts.values()) or 0,
        metadata={"suite": name, "setting": settings.label},
    )


def _sample(case: Case, prompt: str, own: PromptText, settings: Settings) -> Sample:
    kind = PROMPTS[prompt]
    said = own if settings.wording is None else settings.wording.of(case.is_scene)
    rebalance = settings.rebalance_of(case.crosses_modalities)
    request = AnswerRequest(spans=case.spans, question=case.question, prompt=kind, rebalance=rebalance)
    return Sample(
        id=f"{case.id}/{prompt}",
        input=[message(request, said, own=settings.wording is None)],
        target="conflict" if case.conflict else "consistent",
        metadata={
            "item": case.item,
            "variant": case.variant,
            "prompt": prompt,
            "conflict": case.conflict,
            "answers": list(case.answers),
            STEERED: rebalance.policy != "none",
            "asked": said.tasks[kind].replace(QUESTION, case.question).strip(),
        },
    )
