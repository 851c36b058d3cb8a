"""A report in a folder: the page, the numbers for other programs, and every figure by itself."""

from __future__ import annotations

from pathlib import Path

from xmguard_research.benchmarks.derived import numbers
from xmguard_research.benchmarks.suites import with_suites
from xmguard_research.reports.attending import contributions, trusted
from xmguard_research.reports.comparing import comparisons
from xmguard_research.reports.files import items_csv, markdown, results_csv, results_json
from xmguard_research.reports.judges import measured
from xmguard_research.reports.lists import IN_A_CELL
from xmguard_research.reports.numbers import lines, means
from xmguard_research.reports.page import Content, page
from xmguard_research.reports.reading import read

PAGE, FIGURES = "report.html", "figures"


def write(folder: Path, out: Path, *, in_a_cell: int = IN_A_CELL) -> Path:
    """Write the report of a folder of logs, in place of an earlier one; the page, by its path.

    Args:
        folder: of the logs, and of analyses below it.
        out: is made if it is not there.
        in_a_cell: responses of one cell that the page holds.

    Raises:
        FileNotFoundError: there is no log.
        XmguardError: an analysis is not in its form, or a suite's own numbers do not load.
    """
    material = read(folder)
    every = lines(material)
    judges = measured(sorted({judge for run in material.runs for judge in run.judges}))
    own = numbers(material.rows, with_suites())
    content = Content(
        material, every, means(every), comparisons(every), contributions(material), trusted(material), own, judges
    )
    text, drawings = page(content, in_a_cell)
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        (out / FIGURES / f"{drawing.name}.svg").write_bytes(drawing.svg)
        (out / FIGURES / f"{drawing.name}.png").write_bytes(drawing.png)
    files = {
        "results.csv": results_csv(every),
        "results.json": results_json(material, every, content.means, content.compared, own),
        "items.csv": items_csv(material),
        "summary.md": markdown(material, content.means, judges, own),
        PAGE: text,
    }
    for name, written in files.items():
        (out / name).write_text(written, encoding="utf-8")
    return out / PAGE
