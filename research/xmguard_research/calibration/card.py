"""What a fitted verdict is worth, for the model's card and the README: one line a yardstick, baselines beside it.

Only formats what `xmguard_research.verdict.report` counts. Knows neither files nor the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xmguard.calibration import VerdictProfile
from xmguard_research.calibration.modelling import UNANSWERED
from xmguard_research.metrics import Bootstrap, auroc, ece, recall_at_false_alarms
from xmguard_research.verdict.baselines import OVERLAP
from xmguard_research.verdict.pairs import Label
from xmguard_research.verdict.report import Row, by_yardstick, columns, interval

MARK = "<!-- verdict -->"
FEATURE = "feature "
_HOW = (
    "Every number below is cross-validated by item: the weights, the curve to probabilities and the probe that judge",
    "an item have not seen it. The bounds of the decisions were chosen on those same probabilities. The yardsticks",
    "templates and templates-irrelevant are in no fit and in no training data; there the shipped weights and probe",
    "are used. Templates-taught are invented too, of other kinds, and in the fit: statements seldom differ in a value",
    "alone. A statement lent by another item may be of an item that the weights have seen. The weights for statements",
    "were fitted to a probe that was held out, while the shipped probe has seen all of them: only templates test the",
    "two together. The default policy is none: attention is left alone unless a request asks, which costs no",
    "accuracy.",
)
_DATA = (
    "The probe and the weights for one language were fitted to statements about pictures of *Words or Vision* (MIT),",
    "built on VQA-v2 and COCO captions (CC BY 4.0), the weights to some of our own templates as well; the weights for",
    "two languages to XQuAD (CC BY-SA 4.0) paragraphs with answers replaced. No sentence of them is in this package.",
    "Statements are short; nothing is known of longer English texts, nor of languages other than those in the table.",
    "No source was a picture: with one that answers the verdict is not calibrated.",
    "The weights for two languages were fitted without language plugins; where those of zh, tr, es or de are there,",
    "words are counted a little differently, and what that changes is not measured.",
)
EXPLICIT = f"{FEATURE}explicit_prompt"


def summary(rows: Sequence[Row], neutral: Mapping[str, float]) -> str:
    """Two tables: how well conflicts are ranked, and what is decided."""
    ranked = [
        "| yardstick | pairs (items) | verdict, AUROC | word overlap | explicit prompt | best single feature | "
        "verdict minus overlap | recall at 10% false alarms | ECE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    decided = [
        "| yardstick | conflicts called CONFLICT | consistent pairs called CONFLICT | conflicts called CONSISTENT | "
        "consistent pairs called CONSISTENT | answerable pairs left UNDETERMINED | of these, taken for unanswered | "
        "irrelevant pairs left UNDETERMINED |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, own in by_yardstick(rows).items():
        conflict = [row.pair.conflict for row in own]
        if len(set(conflict)) == 2:
            ranked.append(_ranked(name, own, conflict, neutral))
        decided.append(_decided(name, own))
    return "\n".join(ranked) + "\n\n" + "\n".join(decided)


def model_card(
    name: str, profile: VerdictProfile, recipe: Mapping[str, Any], tables: str, without: str, report: str
) -> str:
    """The model card of a profile, in Markdown."""
    weights = [
        f"| {kind} | {what} | {one.feature} | {one.weight:+.3f} | {one.absent:+.3f} |"
        for what, fits in (("conflict", profile.conflict), ("both answer", profile.comparable))
        for kind, fit in fits.items()
        for one in fit.weights
    ]
    return "\n".join(
        [
            f"# Profile {name}",
            "",
            f"Fitted to {profile.fitted_on}.",
            f"For model {profile.fitted_for.model_hash[:16]}…, engine {profile.fitted_for.engine}, dtype "
            f"{profile.fitted_for.dtype}; with anything else the verdict is not calibrated.",
            "",
            *_HOW,
            "",
            tables,
            "",
            "## What the features are worth (conflict against agreement)",
            "",
            without,
            "",
            "## Data",
            "",
            *_DATA,
            "",
            "## Bounds",
            "",
            "```json",
            json.dumps({key: round(value, 4) for key, value in asdict(profile.bounds).items()}),
            "```",
            "",
            "## Probe",
            "",
            "```json",
            json.dumps(recipe),
            "```",
            "",
            "## Weights (per standard deviation)",
            "",
            "| pairs | of | feature | weight | if missing |",
            "|---|---|---|---|---|",
            *weights,
            "",
            "# Every score",
            "",
            report,
        ]
    )


def replaced(document: str, tables: str) -> str:
    """A document with the tables between its two marks.

    Raises:
        ValueError: the marks are not there exactly twice.
    """
    if document.count(MARK) != 2:
        raise ValueError(f"the document does not hold {MARK} twice")
    block = f"{MARK}\n{tables}\n{MARK}"
    return re.sub(f"{MARK}.*{MARK}", lambda _: block, document, flags=re.DOTALL)


def _ranked(name: str, own: Sequence[Row], conflict: Sequence[bool], neutral: Mapping[str, float]) -> str:
    bootstrap = Bootstrap([row.pair.item for row in own])
    found = {key: values for key, (values, _) in columns(own, neutral).items()}
    verdict = [0.5 if row.probability is None else row.probability for row in own]
    single = {key: bootstrap.estimate(auroc, conflict, values) for key, values in found.items() if FEATURE in key}
    best = max(single, key=lambda key: single[key].value or 0.0)
    difference = bootstrap.difference(auroc, conflict, verdict, found[OVERLAP])
    asked = interval(bootstrap.estimate(auroc, conflict, found[EXPLICIT])) if EXPLICIT in found else ""
    cells = (
        name,
        f"{len(own)} ({len({row.pair.item for row in own})})",
        f"**{interval(bootstrap.estimate(auroc, conflict, verdict))}**",
        interval(bootstrap.estimate(auroc, conflict, found[OVERLAP])),
        asked,
        f"{best.removeprefix(FEATURE)} {interval(single[best])}",
        interval(difference, sign=True) + ("" if difference.excludes_zero else ": not above overlap"),
        interval(bootstrap.estimate(recall_at_false_alarms, conflict, verdict)),
        _calibration_error(own),
    )
    return f"| {' | '.join(cells)} |"


def _calibration_error(own: Sequence[Row]) -> str:
    """Of the rows with a probability."""
    known = [row for row in own if row.probability is not None]
    told = [row.probability for row in known if row.probability is not None]
    bootstrap = Bootstrap([row.pair.item for row in known])
    return interval(bootstrap.estimate(ece, [row.pair.conflict for row in known], told))


def _decided(name: str, own: Sequence[Row]) -> str:
    def share(labels: tuple[Label, ...], decision: str) -> str:
        chosen = [row for row in own if row.pair.label in labels]
        said = sum(row.decision.startswith(decision) for row in chosen)
        return f"{said} of {len(chosen)} ({said / len(chosen):.0%})" if chosen else ""

    answerable = (Label.CONFLICT, Label.CONSISTENT)
    cells = (
        name,
        share((Label.CONFLICT,), "CONFLICT"),
        share((Label.CONSISTENT,), "CONFLICT"),
        share((Label.CONFLICT,), "CONSISTENT"),
        share((Label.CONSISTENT,), "CONSISTENT"),
        share(answerable, "UNDETERMINED"),
        share(answerable, UNANSWERED),
        share((Label.UNDETERMINED,), "UNDETERMINED"),
    )
    return f"| {' | '.join(cells)} |"
