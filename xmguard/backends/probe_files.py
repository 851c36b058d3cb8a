"""What the files of a pair probe hold beside low-rank updates: the classifier of a state, checked against a model.

Knows nothing of engines, or of what the classes mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from xmguard.backends.low_rank import Unusable

CLASSES = 3
"""Conflict, agreement, no answer."""
ANOTHER = "fit it again for this model, or give another --profile"
"""What to do about one that does not fit."""
_HEAD = re.compile(r"base_model\.model\.score(\.modules_to_save(\.default)?)?\.weight")


def check_layers(count: int, layers: int) -> None:
    """See that a probe of `count` layers can be run by a model of `layers`.

    Raises:
        Unusable: it cannot.
    """
    if not 0 < count <= layers:
        raise Unusable(f"runs {count} layers, the model has {layers}", remedy=ANOTHER)


def classifier(others: Mapping[str, Tensor], hidden: int) -> Tensor:
    """The one tensor of a probe's files that is no part of an update, [class, hidden].

    Raises:
        Unusable: there is another, or none, or it is of another shape; with every reason.
    """
    if unknown := [key for key in others if not _HEAD.fullmatch(key)]:
        raise Unusable(*(f"holds {key}, which nothing here reads" for key in unknown), remedy=ANOTHER)
    found = list(others.values())
    shape = (CLASSES, hidden)
    if [tuple(each.shape) for each in found] != [shape]:
        raise Unusable(f"has no classifier that is {' by '.join(map(str, shape))}", remedy=ANOTHER)
    return found[0]
