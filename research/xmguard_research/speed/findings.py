"""From samples to what is claimed: ratios next to plain generation, their targets, and whether they were met.

A target is compared with the median ratio as measured; nothing is rounded first and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xmguard_research.speed.arithmetic import Interval, Spread, exponent, paired_ratio, slope_ratio, spread
from xmguard_research.speed.report import PLAIN, Report, Series

Key = tuple[str, str]
"""Experiment and variant."""

LABELS: Mapping[Key, str] = {
    ("decode", PLAIN): "plain generate, SDPA",
    ("decode", "unbiased"): "xmguard, no bias",
    ("decode", "bias"): "xmguard, bias",
    ("decode", "contributions"): "xmguard, bias and contributions",
    ("decode", "mask"): "instead: SDPA under a 4-D mask (PASTA)",
    ("decode", "weights"): "instead: eager, weights returned",
    ("whole", PLAIN): "plain: prefill and generate",
    ("whole", "contributions"): "xmguard, bias and contributions",
    ("whole", "mask"): "instead: SDPA under a 4-D mask (PASTA)",
    ("whole", "branches"): "xmguard: joint and both spans alone, one session",
    ("whole", "separate"): "instead: joint and both spans alone, three generations",
    ("process", PLAIN): "plain generate, SDPA",
    ("process", "contributions"): "xmguard, bias and contributions",
    ("process", "weights"): "instead: eager, weights returned",
    ("growth", PLAIN): "plain generate, SDPA",
    ("growth", "contributions"): "xmguard, bias and contributions",
    ("growth", "weights"): "instead: eager, weights returned",
    ("check", PLAIN): "plain: prefill and 16 tokens",
    ("check", "check"): "Check",
    ("answer", PLAIN): "plain: prefill and as many tokens",
    ("answer", "answer"): "Answer, steered",
}
TITLES: Mapping[str, str] = {
    "decode": "Decoding, per token",
    "slope": "Growth of the time per token with the context",
    "whole": "Prefill and decoding together",
    "process": "Peak memory, whole process",
    "growth": "Peak memory beyond the loaded model",
    "check": "Check, whole",
    "exponent": "Growth of a check with its spans",
    "answer": "Answer, whole",
}
TARGETS: Mapping[Key, float] = {
    ("decode", "bias"): 1.03,
    ("decode", "contributions"): 1.05,
    ("process", "contributions"): 1.05,
    ("growth", "contributions"): 1.05,
    ("answer", "answer"): 1.6,
}
CHECK_TARGET = 1.5
"""Of a check of two spans; more spans have no target."""


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    experiment: str
    label: str
    case: str
    spread: Spread | None
    """In `unit`; None where the line is about growth."""
    unit: str
    ratio: Interval | None
    """Of plain generation; None for plain generation itself, or where `note` says why."""
    target: float | None
    note: str
    """Whether it decoded the tokens it had to, or why there is no ratio; empty where there is nothing to say."""

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio.value <= self.target


def findings(report: Report) -> list[Finding]:
    """Everything that a report says, in the order of `TITLES`."""
    found = [*_ratios(report.series), *_slopes(report.series), *_exponents(report.series)]
    order = list(TITLES)
    return sorted(found, key=lambda finding: order.index(finding.experiment))


def in_words(case: Mapping[str, int | str]) -> str:
    """A cell's setting for a table."""
    if "kind" in case:
        return f"{case['kind']}, {case['spans']} spans of {case['span_tokens']} tokens"
    return f"{case['context']} tokens" + (f" x {case['batch']}" if "batch" in case else "")


def _ratios(series: Sequence[Series]) -> Iterator[Finding]:
    for row in series:
        base = _find(series, row.experiment, row.case, PLAIN)
        if base is None:
            continue  # an interrupted run
        yield Finding(
            row.experiment,
            LABELS[row.experiment, row.variant],
            in_words(row.case),
            spread([sample / row.divisor for sample in row.samples]),
            row.unit,
            None if row.variant == PLAIN else paired_ratio(row.samples, base.samples),
            _target(row),
            _agreement(row),
        )


def _slopes(series: Sequence[Series]) -> Iterator[Finding]:
    """Slope of the time per token over the context, for batches measured at two contexts or more."""
    decode = [row for row in series if row.experiment == "decode"]
    for batch in dict.fromkeys(row.case["batch"] for row in decode):
        base = _over(decode, PLAIN, "context", {"batch": batch})
        for variant in ("unbiased", "bias", "contributions", "mask", "weights"):
            rows = _over(decode, variant, "context", {"batch": batch})
            if len(rows) < 2 or list(rows) != list(base):
                continue
            ratio = slope_ratio(
                list(rows), [row.samples for row in rows.values()], [row.samples for row in base.values()]
            )
            noise = "" if ratio else "lost in noise"
            yield Finding("slope", LABELS["decode", variant], f"batch of {batch}", None, "", ratio, None, noise)


def _exponents(series: Sequence[Series]) -> Iterator[Finding]:
    """The p of seconds ~ spans^p; 1 is linear."""
    checks = [row for row in series if row.experiment == "check"]
    for kind in dict.fromkeys(row.case["kind"] for row in checks):
        for variant in (PLAIN, "check"):
            rows = _over(checks, variant, "spans", {"kind": kind})
            if len(rows) > 1:
                fitted = exponent(list(rows), [row.samples for row in rows.values()])
                label = f"{LABELS['check', variant]}: exponent, 1 is linear"
                yield Finding("exponent", label, str(kind), None, "", fitted, None, "")


def _over(series: Sequence[Series], variant: str, axis: str, fixed: Mapping[str, int | str]) -> dict[float, Series]:
    """A variant's series along one axis of its cases, in rising order."""
    rows = [row for row in series if row.variant == variant and fixed.items() <= row.case.items()]
    return {float(row.case[axis]): row for row in sorted(rows, key=lambda row: float(row.case[axis]))}


def _find(series: Sequence[Series], experiment: str, case: Mapping[str, int | str], variant: str) -> Series | None:
    wanted = (experiment, case, variant)
    return next((row for row in series if (row.experiment, row.case, row.variant) == wanted), None)


def _target(row: Series) -> float | None:
    if row.variant == "check":
        return CHECK_TARGET if row.case["spans"] == 2 else None
    return TARGETS.get((row.experiment, row.variant))


def _agreement(row: Series) -> str:
    if row.agreement is None:
        return ""
    return "same tokens" if row.agreement == 1.0 else f"{row.agreement:.0%} of the tokens"
