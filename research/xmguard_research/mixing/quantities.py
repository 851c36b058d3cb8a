"""What is counted in responses: detection, imbalance and accuracy, each as a function of sums of columns.

Sources: the paper, section 2 (conflict detection rate) and section 4 with Figures 6 and 7; the controls' false alarms,
the logarithm and everything per token are ours. Side a of two sources is English beside another language, the text
beside a picture, and what is read first beside its like. Knows no draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log

import numpy as np

from xmguard_research.analyses.groups import sides
from xmguard_research.metrics.draws import Array
from xmguard_research.mixing.crossed import Function, settled
from xmguard_research.mixing.evaluating import Response
from xmguard_research.mixing.posing import CONFLICT, CROSS, ORDERED, SINGLE

DETECTION, FALSE_ALARMS, BALANCED, SHORTFALL = "detection", "false alarms", "detection - false alarms", "shortfall"
LOG_RATIO, IMBALANCE = "log ratio", "imbalance"
LOG_RATIO_PER_TOKEN, IMBALANCE_PER_TOKEN = "log ratio per token", "imbalance per token"
GAP, GAP_PER_TOKEN, SPREAD = "absolute gap", "absolute gap per token", "spread"
EXACT, HOLDS = "exact", "holds"

DETECTIONS, ACCURACIES = (DETECTION, FALSE_ALARMS, BALANCED, SHORTFALL), (EXACT, HOLDS)
READINGS = (LOG_RATIO, IMBALANCE, LOG_RATIO_PER_TOKEN, IMBALANCE_PER_TOKEN, GAP, GAP_PER_TOKEN, SPREAD)
RATES = (*DETECTIONS, *ACCURACIES)
"""Shares, and differences of such."""
SUBTRACTED = (*RATES, IMBALANCE, IMBALANCE_PER_TOKEN)
"""Compared between arms by their difference."""
DIVIDED = (IMBALANCE, IMBALANCE_PER_TOKEN, GAP, GAP_PER_TOKEN, SPREAD)
"""Compared by their ratio."""

Column = Callable[[Response], float]


@dataclass(frozen=True)
class Quantity:
    """A number of some responses."""

    what: str
    columns: tuple[Column, ...]
    function: Function
    """Of the columns' sums."""
    weights: tuple[float, ...] = ()
    """Of shares, where it is a sum of such: each is a column's sum over the next one's. Empty where it is not."""

    def takes(self, row: Response) -> bool:
        """Whether a response is one that it is about: of shares, one that is asked for them."""
        return not self.weights or any(asked(row) for _, _, asked in self.shares)

    def of(self, rows: Sequence[Response]) -> float | None:
        """Its value; None where it is undefined."""
        sums = (np.array([float(sum(map(column, rows)))]) for column in self.columns)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(self.function(*sums)[0])
        return settled(value) if isfinite(value) else None

    @property
    def shares(self) -> list[tuple[float, Column, Column]]:
        """The shares that it is a weighted sum of: weight, what is counted, and out of what."""
        return list(zip(self.weights, self.columns[::2], self.columns[1::2], strict=True)) if self.weights else []


@dataclass(frozen=True)
class Cell:
    """Responses that belong together, and what is counted in them."""

    suite: str
    variant: str
    """Labels without regard to order; `en>es` where the order is meant."""
    prompt: str
    task: str
    quantities: tuple[Quantity, ...]
    takes: Callable[[Response], bool]


def _known(row: Response) -> bool:
    return row.reported is not None


def _found(conflict: bool) -> tuple[Column, Column]:
    """Reported, and asked: of conflicts or of controls."""
    return (
        lambda row: float(row.conflict is conflict and row.reported is True),
        lambda row: float(row.conflict is conflict and _known(row)),
    )


def _side(values: Callable[[Response], Sequence[float]]) -> tuple[Column, Column]:
    def of(which: str) -> Column:
        return lambda row: float(values(row)[getattr(sides(row.labels), which)])

    return of("a"), of("b")


def _per_token(row: Response) -> list[float]:
    return [norm / length for norm, length in zip(row.norms, row.tokens, strict=True)]


def _one(row: Response) -> float:
    return 1.0


def _log_ratio(a: Array, b: Array) -> Array:
    return np.asarray(np.log(a / b))


def _apart(row: Response) -> float:
    """Absolute log ratio of the two contributions; infinite where one is 0, as of a source that a window hides."""
    first, second = row.norms
    return abs(log(first / second)) if first > 0 and second > 0 else inf


def _absolute(a: Array, b: Array) -> Array:
    return np.abs(_log_ratio(a, b))


def _gap(a: Array, b: Array, rows: Array) -> Array:
    return np.abs(a - b) / rows


def _of_shares(what: str, *shares: tuple[float, tuple[Column, Column]]) -> Quantity:
    weights = tuple(weight for weight, _ in shares)

    def total(*sums: Array) -> Array:
        parts = zip(weights, sums[::2], sums[1::2], strict=True)
        return np.asarray(sum(weight * counted / asked for weight, counted, asked in parts))

    return Quantity(what, tuple(column for _, pair in shares for column in pair), total, weights)


OF_CONFLICTS = (
    _of_shares(DETECTION, (1.0, _found(True))),
    _of_shares(FALSE_ALARMS, (1.0, _found(False))),
    _of_shares(BALANCED, (1.0, _found(True)), (-1.0, _found(False))),
)
OF_READING = (
    Quantity(LOG_RATIO, _side(lambda row: row.norms), _log_ratio),
    Quantity(IMBALANCE, _side(lambda row: row.norms), _absolute),
    Quantity(LOG_RATIO_PER_TOKEN, _side(_per_token), _log_ratio),
    Quantity(IMBALANCE_PER_TOKEN, _side(_per_token), _absolute),
    Quantity(GAP, (*_side(lambda row: row.norms), _one), _gap),
    Quantity(GAP_PER_TOKEN, (*_side(_per_token), _one), _gap),
    Quantity(SPREAD, (_apart, _one), np.divide),
)
OF_QUESTIONS = (
    _of_shares(EXACT, (1.0, (lambda row: float(row.exact is True), _one))),
    _of_shares(HOLDS, (1.0, (lambda row: float(row.holds is True), _one))),
)
MEANINGS = {
    DETECTION: "share of conflicts whose response reports one, by the rule judge",
    FALSE_ALARMS: "share of controls, whose sources agree, whose response reports a conflict",
    BALANCED: "detection minus false alarms: 0 is what chance reaches",
    SHORTFALL: "mean detection of the two variants of one language or modality, minus that of the variant across them",
    LOG_RATIO: "log of the mean contribution of side a over that of side b, nats; 0 is even",
    IMBALANCE: "its absolute value, in nats",
    LOG_RATIO_PER_TOKEN: "the log ratio of contributions per token",
    IMBALANCE_PER_TOKEN: "its absolute value, in nats",
    GAP: "absolute difference of the two mean contributions",
    GAP_PER_TOKEN: "absolute difference of the two mean contributions per token",
    SPREAD: "mean over contexts of the absolute log ratio of the two contributions: the order of reading is in it",
    EXACT: "share of answers that make the expected claim and no other",
    HOLDS: "share of answers that make it, or hold the expected answer word for word",
}
"""What is counted, in words, by name."""


def cells(rows: Sequence[Response]) -> Iterator[Cell]:
    """Every variant under every prompt, both orders together and, across languages or modalities, apart."""
    seen: dict[tuple[str, str, str], dict[str, None]] = {}
    prompts: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        orders = seen.setdefault((row.suite, row.task, row.variant), {row.variant: None})
        if len(set(row.labels)) > 1 and row.task == CONFLICT:
            orders[ORDERED.join(row.labels)] = None
        prompts.setdefault((row.suite, row.task), {})[row.prompt] = None
    for (suite, task, _), orders in seen.items():
        for variant in orders:
            for prompt in prompts[suite, task]:
                yield _cell(suite, variant, prompt, task)


def _cell(suite: str, variant: str, prompt: str, task: str) -> Cell:
    def takes(row: Response) -> bool:
        own = ORDERED.join(row.labels) if ORDERED in variant else row.variant
        return (row.suite, own, row.prompt, row.task) == (suite, variant, prompt, task)

    if task in (SINGLE, CROSS):
        return Cell(suite, variant, prompt, task, OF_QUESTIONS, takes)
    return Cell(suite, variant, prompt, task, (*OF_CONFLICTS, *OF_READING), takes)


def shortfalls(rows: Sequence[Response]) -> Iterator[Cell]:
    """For every variant across languages or modalities whose two sides were asked by themselves too."""
    asked = {(row.suite, row.variant, row.prompt) for row in rows if row.task == CONFLICT}
    for suite, variant, prompt in sorted(asked):
        first, second = variant.split("-")
        alone = {f"{first}-{first}", f"{second}-{second}"}
        if first != second and all((suite, one, prompt) in asked for one in alone):
            yield _shortfall(suite, variant, prompt)


def _shortfall(suite: str, variant: str, prompt: str) -> Cell:
    first, second = variant.split("-")
    variants = (f"{first}-{first}", f"{second}-{second}", variant)

    def of(name: str) -> tuple[Column, Column]:
        found, asked = _found(True)
        return (lambda row: found(row) * (row.variant == name), lambda row: asked(row) * (row.variant == name))

    short = _of_shares(SHORTFALL, *zip((0.5, 0.5, -1.0), map(of, variants), strict=True))

    def takes(row: Response) -> bool:
        return (row.suite, row.prompt, row.task) == (suite, prompt, CONFLICT) and row.variant in variants

    return Cell(suite, variant, prompt, CONFLICT, (short,), takes)
