"""ISEval's numbers of a run: SEDR, GEDR and MTPS, beside false alarms on the sound forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xmguard_research.benchmarks.derived import Number
from xmguard_research.benchmarks.iseval.problems import CATEGORIES
from xmguard_research.benchmarks.summary import Row
from xmguard_research.metrics import share

_RATES = {("names_flaw", "spontaneous"): "SEDR", ("names_flaw", "guided"): "GEDR"}
_ALARMS = {("flaw_in_sound", "spontaneous"): "SEDR, false alarms", ("flaw_in_sound", "guided"): "GEDR, false alarms"}


def numbers(rows: Sequence[Row]) -> list[Number]:
    """Over all categories, then by category; MTPS is of the spontaneous prompt, as its source has it."""
    return [*_detection(rows), *_trust(rows)]


def _detection(rows: Sequence[Row]) -> Iterator[Number]:
    for (measure, prompt), name in {**_RATES, **_ALARMS}.items():
        own = [row for row in rows if (row.key.measure, row.key.prompt) == (measure, prompt)]
        if own:
            yield _number(name, own)
    for category in CATEGORIES:
        for (measure, prompt), name in _RATES.items():
            own = [
                row
                for row in rows
                if (row.key.measure, row.key.prompt) == (measure, prompt) and row.key.variant.startswith(f"{category} ")
            ]
            if own:
                yield _number(f"{name}, {category}", own)


def _trust(rows: Sequence[Row]) -> Iterator[Number]:
    sides = {
        side: {row.sample: row for row in rows if row.key.measure == measure and row.key.prompt == "spontaneous"}
        for side, measure in (("image", "goes_by_picture"), ("text", "goes_by_text"))
    }
    image, text = sides["image"], sides["text"]
    both = [(image[sample], text[sample]) for sample in image if sample in text]
    if both:
        items = [one.item for one, _ in both]
        columns = {
            "MTPS, image": [bool(one.found) for one, _ in both],
            "MTPS, text": [bool(other.found) for _, other in both],
            "MTPS, no preference": [not (one.found or other.found) for one, other in both],
        }
        for name, column in columns.items():
            yield Number(name, share(column, items), len(both))


def _number(name: str, rows: Sequence[Row]) -> Number:
    return Number(name, share([bool(row.found) for row in rows], [row.item for row in rows]), len(rows))
