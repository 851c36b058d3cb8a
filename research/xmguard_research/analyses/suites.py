"""Suites by name, as cases: whatever suite of conflicts is installed can be analysed. Knows no model and no suite."""

from __future__ import annotations

from collections.abc import Mapping

from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.asking import request_of
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.suites import make, with_suites

_ONCE = "standard"
"""Of the prompts: a case is wanted once, and asked by the analysis."""


def cases(suite: str, options: Mapping[str, str], items: int) -> list[Case]:
    """All cases of the first items of a suite: variants, orders, conflicts and controls.

    Args:
        suite: a name of `xmguard bench list`.
        options: its own.
        items: how many.

    Raises:
        InvalidRequest: there is no such suite or option, or it is no suite of conflicts.
    """
    if given := {"prompts", "cases"} & set(options):
        raise InvalidRequest.field(min(given), "is not for an analysis, which asks all cases of an item in one way")
    task = make(suite, {**options, "prompts": _ONCE}, with_suites())
    found = [_case(suite, sample) for sample in task.dataset]
    kept = set(list(dict.fromkeys(case.item for case in found))[:items])
    return [case for case in found if case.item in kept]


def _case(suite: str, sample: Sample) -> Case:
    last = sample.input[-1]
    request = request_of(last) if isinstance(last, ChatMessageUser) else None
    about = sample.metadata or {}
    if request is None or not {"item", "variant", "conflict", "answers"} <= set(about):
        raise InvalidRequest.field("suite", f"{suite}: sample {sample.id} is no question over sources")
    return Case(
        str(sample.id).removesuffix(f"/{_ONCE}"),
        about["item"],
        about["variant"],
        request.question,
        request.spans,
        about["conflict"],
        tuple(about["answers"]),
    )
