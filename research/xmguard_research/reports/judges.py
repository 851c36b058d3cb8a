"""How good the judges behind the numbers are on labelled responses, as far as that can be told without a network."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard_research.judge.labelled import load
from xmguard_research.judge.measuring import Rate, quality
from xmguard_research.judge.settings import JudgeSettings, make, with_judges
from xmguard_research.judge.values import Judge

OFFLINE = ("rules", "guard")
SPLITS = {"test": "phrasings known to its authors", "fresh": "phrasings new to it"}
UNKNOWN = (
    "not measured here, because it needs an endpoint; `python -m xmguard_research.judge measure` measures it on "
    "labelled responses."
)


def measured(names: Iterable[str]) -> dict[str, str]:
    """By `produced_by`: sensitivity and specificity on the splits that no rule was fitted to, in a sentence."""
    registry = with_judges()
    known = {made.produced_by: made for made in (make(name, JudgeSettings(), registry) for name in OFFLINE)}
    return {name: _on_splits(known[name]) if name in known else UNKNOWN for name in names}


def _on_splits(judge: Judge) -> str:
    parts = []
    for split, meaning in SPLITS.items():
        labelled = [one for one in load() if one.split == split]
        found = quality(labelled, [judge.judge(one.exchange) for one in labelled])
        parts.append(
            f"sensitivity {_rate(found.sensitivity)}, specificity {_rate(found.specificity)} on "
            f"{len(labelled)} labelled responses in {meaning}"
        )
    return "; ".join(parts) + " (Wilson's 95% intervals)."


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.value:.2f} [{low:.2f}, {high:.2f}]"
