"""What becomes of a response: does it say that its sources contradict each other, as a judge reads it?

The judge reads the model's own words. Of our models the guard's verdict and how evenly the sources were used are kept
beside that. What could not be judged is counted, and is neither a yes nor a no. Knows no suite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from inspect_ai.scorer import NOANSWER, Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState

from xmguard_research.benchmarks.providers import response_of
from xmguard_research.judge.settings import JudgeSettings, make, with_judges
from xmguard_research.judge.values import Exchange
from xmguard_research.metrics import Detection, detection_rates

STEERED = "steered"
"""Key of a sample's metadata: whether its setting asks for a bias."""
NOT_STEERED = "not_steered"
"""Key of a score's metadata: why there was none all the same; empty where there was, or was to be none."""
UNJUDGED = "unjudged"
"""A score's value where the judge has no word; otherwise `yes` or `no`."""
BESIDE_THE_POINT = "beside_the_point"
"""Key of a score's metadata: the scorer has nothing to look for in this sample, which is no row of it."""


def _detection(scores: Sequence[SampleScore]) -> Detection:
    # inspect turns a score's value into a number before metrics see it, and an unknown word into 0.
    asked = [one for one in scores if not (one.score.metadata or {}).get(BESIDE_THE_POINT)]
    reported = [(one.score.metadata or {})["reported"] for one in asked]
    return detection_rates([bool((one.sample_metadata or {})["conflict"]) for one in asked], reported)


def _metric(number: Callable[[Detection], float | None]) -> Metric:
    def of(scores: list[SampleScore]) -> float:
        found = number(_detection(scores))
        return float("nan") if found is None else found

    return of


@metric
def detection_rate() -> Metric:
    """Share of judged conflicts that are reported; nan without one."""
    return _metric(lambda found: found.sensitivity)


@metric
def false_alarm_rate() -> Metric:
    """Share of judged controls that are reported as conflicts; nan without one."""
    return _metric(lambda found: found.false_alarm_rate)


@metric
def unjudged() -> Metric:
    """How many responses nobody could judge."""
    return _metric(lambda found: float(found.unjudged_conflicts + found.unjudged_controls))


@scorer(metrics=[detection_rate(), false_alarm_rate(), unjudged()])
def says_conflict(judge: str = "rules", **settings: Any) -> Scorer:
    """Ask a judge of `xmguard_judges`; `settings` are `JudgeSettings`.

    Raises:
        InvalidRequest: there is no such judge, or it has no use for a setting.
    """
    made = make(judge, JudgeSettings(**settings), with_judges())

    async def score(state: TaskState, target: Target) -> Score:
        if state.metadata["conflict"] is None:
            return Score(value=NOANSWER, answer=state.output.completion, metadata={BESIDE_THE_POINT: True})
        exchange = Exchange(state.metadata["asked"], state.output.completion)
        judgement = await asyncio.to_thread(made.judge, exchange)
        said = judgement.mentions_conflict
        return Score(
            value=UNJUDGED if said is None else ("yes" if said else "no"),
            answer=state.output.completion,
            explanation=judgement.reason,
            metadata={
                "reported": said,
                "judge": made.produced_by,
                "status": judgement.status.value,
                **beside(state),
            },
        )

    return score


def beside(state: TaskState) -> dict[str, Any]:
    """What a model of ours says beside its words, and why one that was to be steered was not."""
    response = response_of(state.output)
    wanted = state.metadata.get(STEERED, False)
    if response is None:
        return {NOT_STEERED: "only models of ours can be steered"} if wanted else {}
    verdict, imbalance = response.verdict, response.imbalance
    steering = response.rebalancing
    return {
        NOT_STEERED: (steering.reason or "no reason given") if wanted and not steering.applied else "",
        "decision": verdict.decision.name,
        "probability": verdict.probability,
        "check": verdict.status.name,
        "calibrated": verdict.calibrated,
        "log_ratio_before": imbalance.log_ratio_before,
        "log_ratio_after": imbalance.log_ratio_after,
        "contributions": {span.span_id: span.contribution_before for span in response.spans},
    }
