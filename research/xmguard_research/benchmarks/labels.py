"""What the rows of a log are called: the suite with its options, the model with its arguments, and the setting.

Logs of other data, or of a model that was loaded otherwise, are other rows, even where samples have the same names.
Knows no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspect_ai.log import EvalLog

from xmguard_research.benchmarks.settings import NAMES

_BETWEEN = " · "


def suite_label(log: EvalLog) -> str:
    """`clqa`, or `clqa · topics=17, variants=en-en` where it was told options of its own."""
    given = log.eval.task_args_passed or {}
    return _with((log.eval.metadata or {})["suite"], {key: value for key, value in given.items() if key not in NAMES})


def model_label(log: EvalLog) -> str:
    """`xmguard/smollm2`, or `xmguard/smollm2 · profile=mine.json` where it was loaded with arguments."""
    return _with(log.eval.model, log.eval.model_args or {})


def suite_name(label: str) -> str:
    """The suite of a label.

    >>> suite_name("clqa · topics=17"), suite_name("clqa")
    ('clqa', 'clqa')
    """
    return label.partition(_BETWEEN)[0]


def _with(name: str, told: Mapping[str, Any]) -> str:
    words = [f"{key}={_word(value)}" for key, value in sorted(told.items()) if value is not None]
    return _BETWEEN.join([name, *([", ".join(words)] if words else [])])


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)
