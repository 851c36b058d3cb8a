"""A user's labelled pairs, from JSON lines; every line that is wrong is named with what is wrong.

Knows no model: which language a text without a tag is in is for the caller to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from xmguard.errors import FieldViolation, InvalidRequest
from xmguard.validation import LANGUAGE_TAG
from xmguard_research.verdict.pairs import Label, Pair

YARDSTICK = "own pairs"
_REQUIRED = ("question", "texts", "label")
_OPTIONAL = ("languages", "item")
_LABELS = {label.value: label for label in Label}


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file, in its order; languages that it does not give are empty.

    Without an `item` a pair is one by itself, together with every other line that has its question and texts.

    Raises:
        InvalidRequest: with every line that is wrong, or that contradicts an earlier line's label.
    """
    pairs: list[Pair] = []
    wrong: list[FieldViolation] = []
    labels: dict[str, tuple[int, Label]] = {}
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest.field("--pairs", f"{path} cannot be read: {error}") from error
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        problems, read = _read(line)
        if not problems:
            pair = _pair(number, read)
            first, label = labels.setdefault(pair.content, (number, pair.label))
            if label is not pair.label:
                problems = [f"is labelled {pair.label.value}, line {first} labels the same pair {label.value}"]
            elif first == number:
                pairs.append(pair)
        wrong += [FieldViolation(f"{path.name}, line {number}", problem) for problem in problems]
    if wrong:
        raise InvalidRequest(wrong)
    if not pairs:
        raise InvalidRequest.field("--pairs", f"{path} holds no pair")
    return pairs


def description(path: Path, pairs: Sequence[Pair]) -> str:
    """Which pairs they are, for a profile."""
    return f"{len(pairs)} pairs of {path.name}, SHA-256 {sha256(path.read_bytes()).hexdigest()[:8]}"


def with_languages(pairs: Sequence[Pair], detect: Callable[[str], str]) -> list[Pair]:
    """The pairs with every language filled in."""
    filled = []
    for pair in pairs:
        (text_a, text_b), (tag_a, tag_b) = pair.texts, pair.languages
        filled.append(replace(pair, languages=(tag_a or detect(text_a), tag_b or detect(text_b))))
    return filled


def _pair(number: int, read: dict[str, Any]) -> Pair:
    asked = json.dumps([read["question"], read["texts"]])
    return Pair(
        key=f"line {number}",
        item=read.get("item") or sha256(asked.encode()).hexdigest()[:16],
        yardstick=YARDSTICK,
        question=read["question"],
        texts=(read["texts"][0], read["texts"][1]),
        languages=tuple(read.get("languages", ("", ""))),
        label=_LABELS[read["label"]],
    )


def _read(line: str) -> tuple[list[str], dict[str, Any]]:
    """What is wrong with a line, and its object."""
    try:
        read = json.loads(line)
    except json.JSONDecodeError as error:
        return [f"is not JSON: {error.msg} at column {error.colno}"], {}
    if not isinstance(read, dict):
        return [f"is no object with the keys {', '.join(_REQUIRED)}"], {}
    return list(_problems(read)), read


def _problems(read: dict[str, Any]) -> Iterator[str]:
    known = (*_REQUIRED, *_OPTIONAL)
    yield from (f"{key} is missing" for key in _REQUIRED if key not in read)
    yield from (f"{key} is not known; the keys are {', '.join(known)}" for key in read if key not in known)
    if "question" in read and not _is_text(read["question"]):
        yield "question is no text, or empty"
    if "texts" in read and not _are_two(read["texts"], _is_text):
        yield "texts is no list of two texts that are not empty"
    if "label" in read and (not isinstance(read["label"], str) or read["label"] not in _LABELS):
        yield f"label is not one of {', '.join(_LABELS)}"
    if "languages" in read and not _are_two(read["languages"], _is_language):
        yield 'languages is no list of two BCP-47 tags such as "en"; an empty one is detected'
    if "item" in read and not _is_text(read["item"]):
        yield "item is no text, or empty"


def _are_two(value: Any, allowed: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(allowed, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_language(value: Any) -> bool:
    return isinstance(value, str) and (not value or LANGUAGE_TAG.fullmatch(value) is not None)
