"""XModBench's numbers of a run: accuracy of every direction, directional gap and disparity, over subtasks alike.

The source's disparity of two modalities goes by way of a third. With text and image alone that third is one of the two,
so that there are two disparities: on the side that changes nothing stands text, or an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from xmguard_research.benchmarks.derived import Number
from xmguard_research.benchmarks.summary import Row
from xmguard_research.benchmarks.xmodbench.suites import MODALITIES
from xmguard_research.metrics import Bootstrap, directional_gap, modality_disparity

DIRECTIONS = tuple((context, options) for context in MODALITIES for options in MODALITIES)
Accuracy = Mapping[tuple[str, str], Any]
"""By direction: a number, or one per draw."""


def _of(direction: tuple[str, str], accuracy: Accuracy) -> Any:
    return accuracy[direction]


_NUMBERS: Mapping[str, Callable[[Accuracy], Any]] = {
    **{f"accuracy, {context} to {options}": partial(_of, (context, options)) for context, options in DIRECTIONS},
    "directional gap, text to image minus image to text": partial(directional_gap, a="text", b="image"),
    "disparity of image against text, text on the other side": partial(
        modality_disparity, x="text", y="image", third="text"
    ),
    "disparity of image against text, image on the other side": partial(
        modality_disparity, x="text", y="image", third="image"
    ),
}


def numbers(rows: Sequence[Row]) -> list[Number]:
    """Means over subtasks, as `metrics.macro_accuracy` has them; nothing where a direction lacks a subtask."""
    own = [row for row in rows if row.key.measure == "right_option"]
    cells = sorted({tuple(row.key.variant.split(" ")) for row in own})
    subtasks = sorted({subtask for _, subtask in cells})
    if len(cells) != len(DIRECTIONS) * len(subtasks) or not own:
        return []
    bootstrap = Bootstrap([row.item for row in own])
    columns: list[list[float]] = []
    for cell in cells:
        inside = [tuple(row.key.variant.split(" ")) == cell for row in own]
        columns.append([float(here and bool(row.found)) for here, row in zip(inside, own, strict=True)])
        columns.append([float(here) for here in inside])

    def made(number: Callable[[Accuracy], Any], *sums: Any) -> Any:
        share = {cell: sums[2 * index] / sums[2 * index + 1] for index, cell in enumerate(cells)}
        accuracy = {
            (context, options): sum(share[f"{context}-{options}", subtask] for subtask in subtasks) / len(subtasks)
            for context, options in DIRECTIONS
        }
        return number(accuracy)

    chose = sum(row.amounts.get("chose", 0.0) for row in own)
    note = f"{len(own) - int(chose)} of {len(own)} responses choose no option"
    return [
        Number(name, bootstrap.of_sums(partial(made, number), *columns), len(own), note)
        for name, number in _NUMBERS.items()
    ]
