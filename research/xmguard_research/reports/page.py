"""The page: what stands in which section, put into the template. All HTML is in the template, which escapes everything.

Nothing is loaded from anywhere: styles, the script, figures and the responses behind the numbers are in the page, and
its policy forbids whatever else a text of a model might ask a browser to do.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xmguard_research.benchmarks.derived import Number
from xmguard_research.benchmarks.summary import DETECTION, Asking, Row
from xmguard_research.metrics import BINS, Estimate
from xmguard_research.reports import figures
from xmguard_research.reports.attending import Contributed, Trusted
from xmguard_research.reports.comparing import Comparison
from xmguard_research.reports.drawing import Drawing
from xmguard_research.reports.files import INTERVALS, MEANS
from xmguard_research.reports.lists import PLAIN, Lists
from xmguard_research.reports.numbers import Line, Mean, Rate, left_out
from xmguard_research.reports.values import KINDS, Material, by_prompt

HERE = Path(__file__).parent
SHOWN_LEFT_OUT = 50
"""Failed and unjudged responses that the page names; all of them are in the list behind their number."""


@dataclass(frozen=True)
class Content:
    """Everything that is on the page."""

    material: Material
    lines: Sequence[Line]
    means: Sequence[Mean]
    compared: Sequence[Comparison]
    contributed: Sequence[Contributed]
    trusted: Sequence[Trusted]
    numbers: Mapping[Asking, Sequence[Number]]
    """That are the suites' own."""
    judges: Mapping[str, str]


def page(content: Content, in_a_cell: int) -> tuple[str, list[Drawing]]:
    """The HTML, and the figures in it."""
    lists = Lists(content.material, in_a_cell)
    drawings: list[Drawing] = []
    blocks = [_block(content, run.asking, lists, drawings) for run in content.material.runs]
    pairs = _pairs(content, lists, drawings)
    material = content.material
    missing = left_out(material.rows)
    told = {
        "material": material,
        "samples": len({(row.log, row.sample) for row in material.rows}),
        "items": len({(row.key.suite, row.item) for row in material.rows}),
        "missing": {name: _listed(lists, f"{name} responses", rows) for name, rows in missing.items()},
        "unsteered": Counter((Asking.of(row.key), row.not_steered) for row in material.rows if row.not_steered),
        "left_out": [_left(row, material) for name in ("failed", "unjudged") for row in missing[name][:SHOWN_LEFT_OUT]],
        "shown_left_out": SHOWN_LEFT_OUT,
        "detecting_means": [_mean(mean, lists) for mean in content.means if mean.key.measure == DETECTION],
        "other_means": [_mean(mean, lists) for mean in content.means if mean.key.measure != DETECTION],
        "blocks": blocks,
        "pairs": pairs,
        "filters": _filters(material),
        "judges": content.judges,
        "intervals": INTERVALS,
        "means": MEANS,
        "plain": PLAIN,
        "in_a_cell": in_a_cell,
        "bins": BINS,
        "script": Markup((HERE / "page.js").read_text(encoding="utf-8")),
        "style": Markup((HERE / "page.css").read_text(encoding="utf-8")),
    }
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "range": interval, "signed": signed}
    digest = b64encode(sha256(str(told["script"]).encode("utf-8")).digest()).decode("ascii")
    # Last, because every section adds lists to it.
    told |= {"script_hash": digest, "held": lists.held, "responses": lists.responses, "data": lists.data()}
    return environment.get_template("page.html.j2").render(told).lstrip(), drawings


def _block(content: Content, asking: Asking, lists: Lists, drawings: list[Drawing]) -> dict[str, Any]:
    own = [line for line in content.lines if Asking.of(line.key) == asking]
    own.sort(key=lambda line: (by_prompt(line.key.prompt), KINDS.index(line.kind), line.key.variant))
    place = next(place for place, run in enumerate(content.material.runs, 1) if run.asking == asking)
    contributed = [one for one in content.contributed if one.asking == asking]
    contributed.sort(key=lambda one: (by_prompt(one.prompt), one.variant))
    trusted = sorted((one for one in content.trusted if one.asking == asking), key=lambda one: by_prompt(one.prompt))
    pictures = {
        "detection": figures.detection(f"{place:02}-detection", own),
        "contributions": figures.contributions(f"{place:02}-contributions", contributed) if contributed else None,
        "reliability": figures.reliability(f"{place:02}-reliability", trusted) if trusted else None,
    }
    drawings += [one for one in pictures.values() if one]
    return {
        "asking": asking,
        "place": place,
        "run": content.material.runs[place - 1],
        "figures": {name: _figure(one) for name, one in pictures.items() if one},
        "detection": [_line(line, lists) for line in own if line.key.measure == DETECTION],
        "checked": any(rate.rows for line in own for rate in line.rates if rate.quantity.verdict),
        "others": [_line(line, lists) for line in own if line.key.measure != DETECTION],
        "numbers": content.numbers.get(asking, ()),
        "contributed": [{"of": one, "list": lists.add(_title(asking, one), one.rows)} for one in contributed],
        "steered": any(place.before != place.after for one in contributed for place in one.places),
        "trusted": [
            {"of": one, "list": lists.add(f"{asking.suite}, {one.prompt}: with a probability", one.rows)}
            for one in trusted
        ],
    }


def _title(asking: Asking, one: Contributed) -> str:
    return f"{asking.suite}, {one.prompt}, {one.variant}: with contributions"


def _figure(drawing: Drawing) -> dict[str, Any]:
    return {"svg": Markup(drawing.inline), "caption": drawing.caption}  # drawing.inline escapes what it is given


def _line(line: Line, lists: Lists) -> dict[str, Any]:
    cell, where = line.cell, f"{line.key.suite}, {line.key.prompt}, {line.key.variant}"
    unjudged = [row for row in cell.rows if row.found is None and not row.failed]
    unchecked = [row for row in cell.rows if row.check and row.decision is None]
    return {
        "key": line.key,
        "kind": line.kind,
        "rates": [_rate(rate, where, lists) for rate in line.rates],
        "conflicts": _listed(lists, f"{where}: conflicts", cell.of(True)),
        "controls": _listed(lists, f"{where}: controls", cell.of(False)),
        "responses": _listed(lists, f"{where}: all", cell.rows),
        "unjudged": _listed(lists, f"{where}: not judged", unjudged),
        "unchecked": _listed(lists, f"{where}: no verdict", unchecked),
        "failed": _listed(lists, f"{where}: failed", [row for row in cell.rows if row.failed]),
    }


def _mean(mean: Mean, lists: Lists) -> dict[str, Any]:
    where = f"{mean.key.suite}, {mean.key.prompt}, {mean.key.variant}"
    return {"key": mean.key, "variants": mean.variants, "rates": [_rate(rate, where, lists) for rate in mean.rates]}


def _rate(rate: Rate, where: str, lists: Lists) -> dict[str, Any]:
    found = {"of": rate.quantity, "estimate": rate.estimate, "hits": len(rate.counted), "n": rate.rows, "list": None}
    if rate.rows:
        found["list"] = lists.add(f"{where}: {rate.quantity.title}", rate.counted, rate.others)
    return found


def _listed(lists: Lists, title: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {"n": len(rows), "list": lists.add(title, rows) if rows else None}


def _pairs(content: Content, lists: Lists, drawings: list[Drawing]) -> list[dict[str, Any]]:
    """A section for every two settings of a suite and a model."""
    grouped: dict[tuple[str, str, str, str], list[Comparison]] = {}
    for one in content.compared:
        grouped.setdefault((one.key.suite, one.key.model, one.first, one.key.setting), []).append(one)
    made = []
    for place, ((suite, model, first, second), own) in enumerate(grouped.items(), 1):
        own.sort(key=lambda one: (by_prompt(one.key.prompt), KINDS.index(one.kind), one.key.variant))
        drawing = figures.changes(f"change-{place:02}", own)
        drawings += [drawing] if drawing else []
        made.append(
            {
                "suite": suite,
                "model": model,
                "first": first,
                "second": second,
                "figure": _figure(drawing) if drawing else None,
                "rows": [_compared(one, lists) for one in own],
            }
        )
    return made


def _compared(one: Comparison, lists: Lists) -> dict[str, Any]:
    where = f"{one.key.suite}, {one.key.prompt}, {one.key.variant}, {one.quantity.title}"
    sides = {"gained": one.gained, "lost": one.lost}
    return {
        "of": one,
        "samples": _listed(lists, f"{where}: in both settings", _flat(one.both)),
        **{
            name: _listed(lists, f"{where}: {name}", [row for pair in own for row in pair])
            for name, own in sides.items()
        },
    }


def _flat(pairs: Sequence[tuple[Row, Row]]) -> list[Row]:
    return [row for pair in pairs for row in pair]


def _left(row: Row, material: Material) -> dict[str, Any]:
    scored = material.response(row).scores.get(row.key.measure)
    return {"row": row, "why": row.failed or (scored.reason if scored else "")}


def _filters(material: Material) -> list[tuple[str, list[str]]]:
    """What can be chosen, where there is more than one of it."""
    keys = [row.key for row in material.rows]
    found = [
        ("suite", sorted({key.suite for key in keys})),
        ("model", sorted({key.model for key in keys})),
        ("setting", sorted({key.setting for key in keys})),
        ("prompt", sorted({key.prompt for key in keys}, key=by_prompt)),
    ]
    return [(name, values) for name, values in found if len(values) > 1]


def percent(value: float) -> str:
    """A share in percent.

    >>> percent(0.375)
    '38%'
    """
    return f"{value:.0%}"


def interval(estimate: Estimate, scale: float = 1.0, places: int = 2) -> str:
    """An interval's ends; empty without one.

    >>> interval(Estimate(0.5, 0.25, 0.75, 0), 100, 0)
    '25 to 75'
    """
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{minus(estimate.low * scale, places)} to {minus(estimate.high * scale, places)}"


def signed(value: float, scale: float = 1.0, places: int = 2) -> str:
    """A change with its sign.

    >>> signed(-0.125, 100, 1), signed(0.5), signed(0.0)
    ('−12.5', '+0.50', '0.00')
    """
    shown = minus(value * scale, places)
    return f"+{shown}" if value > 0 else shown


def minus(value: float, places: int) -> str:
    """A number with a minus sign, and no minus zero."""
    shown = f"{value:.{places}f}".replace("-", "−")
    return shown.removeprefix("−") if not shown.strip("−0.") else shown
