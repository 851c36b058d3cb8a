"""What a calibration on a suite came to, as Markdown: what was decided, and every number on dev and on test.

Intervals are over items. Knows neither models nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from xmguard.response import Stamp
from xmguard_research.calibration.choosing import AIMS, BALANCE, CHANCE, Choice, Outcome, change, mean
from xmguard_research.calibration.comparison import EXPLAINED, scores
from xmguard_research.calibration.layers import Prediction
from xmguard_research.calibration.suite_calibrating import Calibration
from xmguard_research.calibration.suite_cases import DEV, SPLIT, TEST
from xmguard_research.harm import ALLOWED_LOSS, BASELINE
from xmguard_research.metrics import Estimate, share

Both = tuple[Outcome, Outcome]
"""One response without a policy, and under the chosen one."""
Column = Callable[[Sequence[Both]], str]


def markdown(made: Calibration, stamp: Stamp) -> str:
    """The report."""
    wanted = made.wanted
    counts = [f"{half}: {made.counted(half)}" for half in made.cases]
    parts = [
        f"# {made.profile.name}: calibrated on {wanted.suite}",
        f"{stamp.model}, {stamp.engine}, {stamp.dtype}, weights {stamp.model_hash[:12]}, "
        f"xmguard {stamp.xmguard_version}, {datetime.now(UTC).date()}. {'; '.join(counts)}; {SPLIT}. Everything was "
        "chosen on dev; what a chosen policy shows there flatters it, and test is what counts. Intervals: 95%, over "
        "items.",
        "## What was decided",
        "\n".join(f"- {note}" for note in made.notes),
        f"Policies were chosen for {wanted.aim}: {AIMS[wanted.aim]}. A chosen one was seen on dev to cost at most "
        f"{ALLOWED_LOSS:g} point of accuracy on controls and {ALLOWED_LOSS:g} of false alarms; that is no bound: "
        "what it may cost elsewhere is in the intervals below. "
        f"Tried: {', '.join(wanted.settings)}; chance, {CHANCE:.0%} in all, is shared out among "
        f"{len(made.choices)} × {len(wanted.settings)} tries.",
        "## Conflicts that responses mention",
        _detection(made),
        "## Balance, and what it costs",
        _balance(made),
        "## Every policy that was tried, on dev",
        _candidates(made),
        "## Layers and heads",
        _layers(made),
        "## Verdict",
        _verdict(made),
    ]
    return "\n\n".join(parts) + "\n"


def _detection(made: Calibration) -> str:
    head = ["", "sources", "prompt", "policy", "conflicts", "said, none", "said", "controls", "alarms, none", "alarms"]
    lines = []
    for half, pair, rows in _by_pair(made):
        setting = _setting(made.choices, pair)
        for variant, prompt in dict.fromkeys((one.variant, one.prompt) for one, _ in rows):
            own = [row for row in rows if (row[0].variant, row[0].prompt) == (variant, prompt)]
            cells: list[str] = []
            for conflict in (True, False):
                kind = [row for row in own if row[0].conflict is conflict]
                cells += [str(len(kind)), *(_reported([row[side] for row in kind]) for side in (0, 1))]
            lines.append([half, variant, prompt, setting, *cells])
    return _table(head, lines)


def _balance(made: Calibration) -> str:
    head = ["", "pair", "policy", "log ratio, none", "log ratio", "difference"]
    head += ["controls", "right, none", "right", "points"]
    lines = []
    for half, pair, rows in _by_pair(made):
        known = [
            (a.item, a.log_ratio, b.log_ratio) for a, b in rows if a.log_ratio is not None and b.log_ratio is not None
        ]
        asked = [(b.item, b.right, a.right) for a, b in rows if a.right is not None and b.right is not None]
        items = [item for item, *_ in asked]
        now, was = [right for _, right, _ in asked], [right for *_, right in asked]
        lines.append(
            [
                half,
                pair,
                _setting(made.choices, pair),
                _number(mean([(item, before) for item, before, _ in known]), ".2f"),
                _number(mean([(item, after) for item, _, after in known]), ".2f"),
                _number(mean([(item, after - before) for item, before, after in known]), "+.2f"),
                str(len(asked)),
                _share(share(was, items)),
                _share(share(now, items)),
                _number(change(asked), "+.1f"),
            ]
        )
    return _table(head, lines)


def _candidates(made: Calibration) -> str:
    form = "+.3f" if made.wanted.aim == BALANCE else "+.1f"
    return _table(
        ["pair", "policy", f"gain in {made.wanted.aim}", "p", "accuracy, points", "false alarms, points", ""],
        [
            [
                choice.pair,
                one.setting,
                _number(one.gain, form),
                "–" if one.p_value is None else f"{one.p_value:.2g}",
                _number(one.accuracy, "+.1f"),
                _number(one.alarms, "+.1f"),
                "chosen" if one.setting == choice.setting else "" if one.harmless else "does harm, or none is known",
            ]
            for choice in made.choices
            for one in choice.candidates
        ],
    )


def _layers(made: Calibration) -> str:
    rows = [(f"{DEV}, cross-validated", one) for one in made.layers.predictions]
    rows += [(TEST, made.tested)] if made.tested is not None else []
    if not rows:
        return "Nothing was fitted."
    told = "AUROC for *the first source is followed*, from a signal of the heads without a bias."
    return f"{told}\n\n" + _table(
        ["", "signal", "all heads alike", "weighed", "difference"], [[half, *_prediction(one)] for half, one in rows]
    )


def _prediction(one: Prediction) -> list[str]:
    return [one.signal, _number(one.plain, ".3f"), _number(one.weighed, ".3f"), _number(one.difference, "+.3f")]


def _verdict(made: Calibration) -> str:
    if not made.verdict:
        return "Nothing was fitted."
    lines = []
    for half, said in made.verdict.items():
        for score in scores(said.pairs, said.before, said.after):
            cells = [_number(score.before, ".3f"), _number(score.after, ".3f"), _number(score.difference, "+.3f")]
            lines.append([half, " ".join(score.name.split()), *cells])
    told = f"{EXPLAINED} On dev, *after* is cross-validated; on test it is the verdict of the profile."
    return f"{told}\n\n" + _table(["", "", "before", "after", "difference"], lines)


def _by_pair(made: Calibration) -> Iterable[tuple[str, str, Sequence[Both]]]:
    return ((half, pair, rows) for half, by_pair in made.outcomes.items() for pair, rows in by_pair.items() if rows)


def _setting(choices: Sequence[Choice], pair: str) -> str:
    return next((one.setting for one in choices if one.pair == pair), BASELINE)


def _reported(outcomes: Sequence[Outcome]) -> str:
    known = [(one.item, one.reported) for one in outcomes if one.reported is not None]
    unjudged = len(outcomes) - len(known)
    shown = _share(share([said for _, said in known], [item for item, _ in known]))
    return f"{shown}, {unjudged} not judged" if unjudged else shown


def _share(rate: Estimate) -> str:
    return _number(rate, ".0%")


def _number(estimate: Estimate, form: str) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])
