"""Runs the model over labelled pairs and writes down the features of each, and the verdict there was before.

A run that was stopped goes on where it was. Knows nothing of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xmguard import AnswerRequest, Guard
from xmguard.errors import InvalidRequest, Reason
from xmguard.verdict.grouping import answered
from xmguard_research.results import append, known, producer
from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.requests import request_of

TOO_LONG = "TOO_LONG"
"""Decision of a pair that does not fit into the model's context."""


@dataclass(frozen=True)
class Gathered:
    """What the model showed of one pair."""

    key: str
    """The pair's content."""
    values: Mapping[str, float]
    """Feature to value; one that is missing is not there."""
    silent: bool
    """Whether a span gave no answer at all: then nothing is compared."""
    probability: float | None
    """Of a conflict, by the verdict there was; None where it established none."""
    decision: str
    produced_by: str


def gather(
    guard: Guard,
    pairs: Iterable[Pair],
    features: Sequence[str],
    path: Path,
    *,
    suffix: str = "",
    request: Callable[[Pair], AnswerRequest] = request_of,
) -> dict[str, Gathered]:
    """The features of every pair, by its content; those in `path` are not run again.

    `suffix` tells apart what the guard's stamp does not: for example which probe is loaded. `request` is how a pair is
    put to the guard.
    """
    made_by = made_with(guard, features, suffix)
    done = known(path, Gathered, made_by)
    missing = [pair for pair in {pair.content: pair for pair in pairs}.values() if pair.content not in done]
    measure: Callable[[Pair], list[Gathered]] = partial(_measure, guard, tuple(features), made_by, request)
    return done | {row.key: row for row in append(path, missing, measure, "reading pairs")}


def made_with(guard: Guard, features: Sequence[str], suffix: str = "") -> str:
    """What makes gathered rows what they are: the `produced_by` of each."""
    return f"{producer(guard)} {suffix} {','.join(sorted(features))}"


def _measure(
    guard: Guard,
    features: Sequence[str],
    made_by: str,
    request: Callable[[Pair], AnswerRequest],
    pair: Pair,
) -> list[Gathered]:
    try:
        evidence = guard.evidence(request(pair), features)
    except InvalidRequest as error:
        if error.reason is not Reason.PROMPT_TOO_LONG:
            raise
        return [Gathered(pair.content, {}, True, None, TOO_LONG, made_by)]
    verdict = guard.judged(evidence)
    values = {name: value for name, found in evidence.features.items() for value in found.values()}
    silent = not all(answered(span) for span in evidence.spans)
    return [Gathered(pair.content, values, silent, verdict.probability, verdict.decision.name, made_by)]
