"""What recipes and experiments have in common: one YAML file, read strictly, whose fields can be changed by name.

Knows no field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError


class Part(BaseModel):
    """Strict: a field that nobody reads would be a setting that is silently not applied."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read(file: Path, kind: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a file.

    Args:
        file: YAML.
        kind: what it is of, for errors: `recipe`.
        changes: `data.strategy=dataset` and so on: dotted names, `sources.0` for the first of a list, YAML values.

    Raises:
        InvalidRequest: it is no mapping, has a key twice, or cannot be changed so; the place is named.
        XmguardError: the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "not UTF-8"
        raise XmguardError(
            f"{kind} {file} cannot be read: {said}; give a YAML file",
            code=ErrorCode.INVALID_ARGUMENT,
            reason=Reason.REQUEST_INVALID,
        ) from error
    content = _parsed(text, str(file))
    if not isinstance(content, dict):
        raise InvalidRequest.field(str(file), f"is no {kind}: its fields (name, base, ...) are missing")
    for change in changes:
        name, separator, value = change.partition("=")
        if not separator or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
            raise InvalidRequest.field("--set", f"{change!r} is not NAME=VALUE, for example data.strategy=dataset")
        try:
            put(content, name, _parsed(value, f"--set {name}"))
        except KeyError as error:
            raise InvalidRequest.field("--set", error.args[0]) from error
    return content


def put(content: dict[str, Any], name: str, value: Any) -> None:
    """Put a value at a dotted name, in place.

    Raises:
        KeyError: something on the way is no mapping, and no list that long; it is said what.
    """
    *way, last = name.split(".")
    at: Any = content
    for step in way:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[_place(at, step, name)]
    at[last if isinstance(at, dict) else _place(at, last, name)] = value


def _place(of: Any, index: str, name: str) -> int:
    if not isinstance(of, list) or not index.isdecimal() or int(index) >= len(of):
        raise KeyError(f"{name!r} leads nowhere: there is no {index!r} to change")
    return int(index)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml publishes no types
    """YAML without the last of two equal keys winning silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                said = "a key is a list or a mapping, and has to be a name; put text with brackets or braces in quotes"
                raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parsed(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of a date that there is not, such as 2031-02-30
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InvalidRequest.field(f"{where}{line}", f"is no YAML: {said}") from error
