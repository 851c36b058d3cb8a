"""Where in the model each source was used, as tables for a person. Derives nothing but sums, means and an order."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from xmguard.cli.arrays import REST
from xmguard.cli.terminal import ABSENT, printable
from xmguard.explanation import Explanation
from xmguard.measurement import Cube
from xmguard.parts import TEXT
from xmguard.request import Scope

TOP = 3
"""Layers and heads named per segment."""
COLUMNS = 4
"""Segments of one table of layers; it must fit 80 columns."""
_SECONDARY = "dim"


def where_table(explanation: Explanation) -> Group:
    """Per span and for the rest: the layers and heads of the largest contributions, and what it adds to the answer.

    Contributions are those under the bias where one was applied. Toward the answer: the sum over layers and heads,
    then the layers that add or take most.
    """
    norms, read = _norms(explanation)
    directed = explanation.directed
    table = _table()
    signed = ("toward the\nanswer, nats", "of these\nby layer") if directed else ()
    for heading in ("layer\nmean ‖u‖", "head\n‖u‖", *signed):
        table.add_column(heading, no_wrap=True)
    for label, segment in _segments(explanation):
        layers = _by_layer(norms, segment)
        heads = [
            (head[segment], f"L{number} h{index}")
            for number, layer in enumerate(norms)
            for index, head in enumerate(layer)
        ]
        cells = [
            _ranked((math.fsum(values) / len(values), f"L{number}") for number, values in enumerate(layers)),
            _ranked(heads),
        ]
        if directed:
            sums = [math.fsum(values) for values in _by_layer(directed.logits, segment)]
            cells.append(Text(f"{math.fsum(sums):+.3f}", style="bold"))
            cells.append(_ranked(((value, f"L{number}") for number, value in enumerate(sums)), sign="+"))
        table.add_row(label, *cells)
    return _titled(f"where each source was used, {read} (L layer, h head, from 0)", table)


def layers_tables(explanation: Explanation) -> Iterator[Group]:
    """Every layer: per span and for the rest the mean contribution of its heads, and what they add to the answer.

    A few segments a table.
    """
    norms, read = _norms(explanation)
    directed = explanation.directed
    title = f"by layer, {read}: mean ‖u‖" + (", nats toward the answer" if directed else "")
    segments = list(_segments(explanation))
    for first in range(0, len(segments), COLUMNS):
        table = _table()
        rows: list[list[str]] = [[f"L{number}"] for number in range(len(norms))]
        for label, segment in segments[first : first + COLUMNS]:
            table.add_column(label, justify="right", no_wrap=True, max_width=15, overflow="ellipsis")
            for row, values in zip(rows, _by_layer(norms, segment), strict=True):
                row.append(f"{math.fsum(values) / len(values):.3f}")
            if directed:
                for row, values in zip(rows, _by_layer(directed.logits, segment), strict=True):
                    row[-1] += f" {math.fsum(values):+.3f}"
        for row in rows:
            table.add_row(*row)
        yield _titled(title, table)


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True, max_width=18, overflow="ellipsis")
    return table


def _titled(title: str, table: Table) -> Group:
    # A table's own title is wrapped to the table's width.
    return Group(Text(title, style="bold"), table)


def _norms(explanation: Explanation) -> tuple[Cube, str]:
    """The contributions to show, and in words which rows they are of."""
    if explanation.biased is None:
        return explanation.before.norms, "without bias"
    answers = explanation.response.rebalancing.scope is Scope.GENERATED
    return explanation.biased.norms, "with bias on the answer's tokens" if answers else "with bias"


def _segments(explanation: Explanation) -> Iterator[tuple[Text, int]]:
    """Label and number of each segment, the rest last."""
    for index, span in enumerate(explanation.response.spans):
        size = f"{printable(span.language if span.modality == TEXT else span.modality)}, {span.tokens} tok"
        yield Text.assemble((printable(span.span_id) or ABSENT, "bold"), (f"\n{size}", _SECONDARY)), index + 1
    yield Text(REST, style=_SECONDARY), 0


def _by_layer(cube: Cube, segment: int) -> list[Sequence[float]]:
    """The heads' numbers of one segment, layer by layer."""
    return [[head[segment] for head in layer] for layer in cube]


def _ranked(numbers: Iterable[tuple[float, str]], sign: str = "") -> Text:
    """The largest in magnitude, one a line."""
    largest = heapq.nlargest(TOP, numbers, key=lambda entry: abs(entry[0]))
    width = max((len(place) for _, place in largest), default=0)
    return Text("\n").join(Text(f"{place:<{width}} {value:{sign}.3f}") for value, place in largest)
