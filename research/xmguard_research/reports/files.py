"""The numbers of a report for other programs: CSV, JSON, and Markdown for a paper. Knows no HTML."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from xmguard_research.benchmarks import derived
from xmguard_research.benchmarks.derived import Number
from xmguard_research.benchmarks.summary import Asking, shown
from xmguard_research.metrics import RESAMPLES, Estimate
from xmguard_research.reports.comparing import Comparison
from xmguard_research.reports.lists import PLAIN
from xmguard_research.reports.numbers import OF_DETECTION, SHARE, Line, Mean, Rate, left_out
from xmguard_research.reports.values import Material, Run

INTERVALS = (
    f"Intervals are 95%: percentile bootstrap over items, {RESAMPLES:,} draws, all responses to an item drawn "
    "together; Wilson's score interval for the number of items where all of them say the same."
)
MEANS = "A kind's rate is the mean over its variants, each weighted alike."
_KEY = ("suite", "model", "setting", "prompt", "variant", "measure")


def results_csv(lines: Iterable[Line]) -> str:
    """A line for every cell; what a measure does not have is empty."""
    names = [one.name for one in (*OF_DETECTION, SHARE)]
    numbers = [f"{name}{part}" for name in names for part in ("", "_low", "_high", "_hits", "_n")]
    head = [
        *_KEY,
        "kind",
        "responses",
        "conflicts",
        "controls",
        "not_judged",
        "no_verdict",
        "not_steered",
        "failed",
        *numbers,
    ]
    return _csv(head, (_flat(line) for line in lines))


def _flat(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = {**line.key._asdict(), "kind": line.kind, **counts(line)}
    for rate in line.rates:
        name, estimate = rate.quantity.name, rate.estimate
        found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        found |= {f"{name}_hits": len(rate.counted), f"{name}_n": rate.rows}
    return found


def counts(line: Line) -> dict[str, int]:
    """What a cell holds, and what of it has no say."""
    cell = line.cell
    return {
        "responses": len(cell.rows),
        "conflicts": len(cell.of(True)),
        "controls": len(cell.of(False)),
        "not_judged": cell.unjudged,
        "no_verdict": cell.unchecked,
        "not_steered": cell.unsteered,
        "failed": cell.failed,
    }


def results_json(
    material: Material,
    lines: Iterable[Line],
    means: Iterable[Mean],
    compared: Iterable[Comparison],
    own: Mapping[Asking, Sequence[Number]],
) -> str:
    """Every number with its interval and counts, and what was run."""
    found = {
        "intervals": INTERVALS,
        "means": MEANS,
        "runs": [{**run.asking._asdict(), **_run(run)} for run in material.runs],
        "cells": [
            {**line.key._asdict(), "kind": line.kind, **counts(line), "numbers": _numbers(line.rates)} for line in lines
        ],
        "kinds": [{**_kind(mean), "variants": mean.variants, "numbers": _numbers(mean.rates)} for mean in means],
        "comparisons": [_comparison(one) for one in compared],
        "numbers": [{**asking._asdict(), **_own(one)} for asking, numbers in own.items() for one in numbers],
    }
    return json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _kind(mean: Mean) -> dict[str, str]:
    key = mean.key._asdict()
    return {"kind": key.pop("variant"), **key}


def _run(run: Run) -> dict[str, Any]:
    found = asdict(run)
    del found["asking"]
    return found


def _numbers(rates: Iterable[Rate]) -> dict[str, Any]:
    return {
        rate.quantity.name: {**_estimate(rate.estimate), "hits": len(rate.counted), "n": rate.rows} for rate in rates
    }


def _own(one: Number) -> dict[str, Any]:
    return {"number": one.name, **_estimate(one.estimate), "rows": one.rows, "note": one.note}


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _comparison(one: Comparison) -> dict[str, Any]:
    key = one.key._asdict()
    return {
        **{name: value for name, value in key.items() if name != "setting"},
        "first": one.first,
        "second": one.key.setting,
        "quantity": one.quantity.name,
        "samples": len(one.both),
        "second_only": len(one.gained),
        "first_only": len(one.lost),
        "difference": _estimate(one.difference),
        "test": one.test,
        "p": one.p_value,
        "p_holm": one.adjusted,
    }


def items_csv(material: Material) -> str:
    """A line for every row: who was asked what, what came back, and who says what of it."""
    head = [
        *_KEY,
        "sample",
        "item",
        "conflict",
        "found",
        "judge",
        "reason",
        "decision",
        "probability",
        "verdict_reason",
    ]
    head += ["log_ratio_before", "log_ratio_after", "contributions", "question", "sources", "response", "failed", "log"]
    return _csv(head, _rows(material))


def _rows(material: Material) -> Iterator[dict[str, Any]]:
    for row in material.rows:
        response = material.response(row)
        scored = response.scores.get(row.key.measure)
        found: dict[str, Any] = {
            **row.key._asdict(),
            "sample": row.sample,
            "item": row.item,
            "conflict": row.conflict,
            "found": row.found,
            "judge": "" if scored is None else scored.judge,
            "reason": "" if scored is None else scored.reason,
            "question": response.question,
            "sources": _json(
                [{"name": one.name, "language": one.language, one.modality: one.text} for one in response.sources]
            ),
            "response": response.words,
            "failed": row.failed,
            "log": row.log.rpartition("/")[2],
        }
        if guard := response.guard:
            found |= {
                "decision": guard.verdict.decision.name,
                "probability": guard.verdict.probability,
                "verdict_reason": guard.verdict.reason,
                "log_ratio_before": guard.imbalance.log_ratio_before,
                "log_ratio_after": guard.imbalance.log_ratio_after,
                "contributions": _json(
                    {one.span_id: [one.contribution_before, one.contribution_after] for one in guard.spans}
                ),
            }
        yield found


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _csv(head: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    made = StringIO()
    writer = csv.DictWriter(made, head, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in line.items()} for line in lines)
    return made.getvalue()


def _inert(value: Any) -> Any:
    """Words that a spreadsheet would take for a formula stand behind an apostrophe, which it does not show."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def markdown(
    material: Material,
    means: Sequence[Mean],
    judges: Mapping[str, str],
    own: Mapping[Asking, Sequence[Number]],
) -> str:
    """Tables of rates by kind and of the suites' own numbers, with a caption that says how they came about."""
    parts = ["# Conflict benchmarks"]
    detecting = [mean for mean in means if len(mean.rates) == len(OF_DETECTION)]
    others = [mean for mean in means if len(mean.rates) != len(OF_DETECTION)]
    named = ["suite", "model", "setting", "prompt", "kind"]
    if detecting:
        head = [*named, *(one.title for one in OF_DETECTION), "conflicts", "controls"]
        parts.append(_table(head, [_mean(mean, [0, 1]) for mean in detecting]))
    if others:
        head = [*named, "measure", SHARE.title, "responses"]
        parts.append(_table(head, [_mean(mean, [0]) for mean in others]))
    if own:
        head = ["suite", "model", "setting", "number", "value", "rows", "note"]
        parts.append(_table(head, [_number(asking, one) for asking, numbers in own.items() for one in numbers]))
    parts.append(_caption(material, judges))
    return "\n\n".join(parts) + "\n"


def _mean(mean: Mean, counted: Sequence[int]) -> list[str]:
    key = mean.key
    named = [key.suite, key.model, key.setting or PLAIN, key.prompt, key.variant]
    measure = [] if len(mean.rates) == len(OF_DETECTION) else [key.measure]
    rates = [shown(rate.estimate) for rate in mean.rates]
    return [*named, *measure, *rates, *(str(mean.rates[place].rows) for place in counted)]


def _number(asking: Asking, one: Number) -> list[str]:
    setting = asking.setting or PLAIN
    return [asking.suite, asking.model, setting, one.name, derived.shown(one.estimate), str(one.rows), one.note]


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *escaped])


def _caption(material: Material, judges: Mapping[str, str]) -> str:
    missing = left_out(material.rows)
    samples = {(row.log, row.sample) for row in material.rows}
    items = {(row.key.suite, row.item) for row in material.rows}
    said = [
        f"{len(samples)} samples of {len(items)} items.",
        "Conflicts said: share of conflicts that the model reports in its own words, as the judge reads them; false "
        "alarms: the same share of controls, whose sources agree. Called CONFLICT: the guard's verdict.",
        MEANS,
        INTERVALS,
        f"Left out of the rates: {len(missing['failed'])} that failed, {len(missing['unjudged'])} that could not be "
        "judged.",
        *(f"Judge {name}: {quality}" for name, quality in judges.items()),
    ]
    return " ".join(said)
