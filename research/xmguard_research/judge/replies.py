"""Reads the reply of a judge that was asked for JSON, strictly.

The last fenced block counts, even if an earlier one would be readable; without one, the last group of braces does.
It must hold one object with the one key `contradict_score`, the number 0 or 1; whatever else it holds, the reply is
malformed and says why. The key is that of the paper's judge (section E.1), so its prompt can be supplied as it is.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from xmguard_research.judge.values import Judgement, Status

KEY = "contradict_score"

_FENCE = re.compile(r"`{3,}|~{3,}")
_LABEL = re.compile(r"\A[ \t]*[A-Za-z][\w+-]*(?=\s|\{)")
"""The language that an opening fence may name."""


def read(reply: str) -> Judgement:
    """The judgement in a reply, of status PARSED or MALFORMED."""
    try:
        return Judgement(Status.PARSED, _score(json_object(reply)) == 1, reply=reply)
    except ValueError as error:
        return Judgement(Status.MALFORMED, None, str(error), reply)


def json_object(reply: str) -> dict[str, Any]:
    """The one JSON object of a reply, which stands where a judgement would.

    Raises:
        ValueError: there is none; the message says what is there.
    """
    block = _block(reply)
    if not block.strip():
        raise ValueError("the last fenced block is empty")
    try:
        found = json.loads(block, object_pairs_hook=_unique, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"what should be JSON is not: {error}") from None
    except RecursionError:
        raise ValueError("what should be JSON is nested too deeply") from None
    if type(found) is not dict:
        raise ValueError(f"expected a JSON object, found {_shown(found)}")
    return dict(found)


def _block(reply: str) -> str:
    """The part of a reply that counts. A fence that is not closed goes on to the end, as in Markdown."""
    if not reply.strip():
        raise ValueError("the reply is empty")
    parts = _FENCE.split(reply)
    return _LABEL.sub("", parts[1::2][-1]) if len(parts) > 1 else _last_braces(reply)


def _last_braces(reply: str) -> str:
    """The last outermost group of balanced braces; those within strings do not count."""
    begin = depth = 0
    quoted = escaped = False
    found = ""
    for position, character in enumerate(reply):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"' and depth:
            quoted = True
        elif character == "{":
            begin = begin if depth else position
            depth += 1
        elif character == "}" and depth:
            depth -= 1
            found = found if depth else reply[begin : position + 1]
    if depth:
        raise ValueError("the last brace is not closed")
    if not found:
        raise ValueError("there is neither a fenced block nor a JSON object")
    return found


def _score(found: dict[str, Any]) -> int:
    if list(found) != [KEY]:
        raise ValueError(f"expected the one key {KEY!r}, found {_shown(list(found))}")
    score = found[KEY]
    if type(score) is not int or score not in (0, 1):
        raise ValueError(f"{KEY} must be the number 0 or 1, not {_shown(score)}")
    return score


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a key is given twice among {_shown(names)}")
    return dict(pairs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
