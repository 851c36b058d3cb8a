"""Outputs of models as the authors publish them: what was answered to picture and text, to either alone.

Knows no metric beside the text preference ratio, and reads only a question's id and the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xmguard.errors import InvalidRequest
from xmguard_research.metrics import Estimate, Follows, TextPreference, followed, share, text_preference_ratio
from xmguard_research.results import lines

FIELDS = ("output", "pred_answer")
"""Of the answer, in the published files and in those that the authors' later evaluator writes."""
_TEXT = re.compile(r"_intext=.*textsrc=(\w+?)(?:_textsrcmodel=.*)?\.jsonl")
_ALONE = "_intype=wo-img"


@dataclass(frozen=True)
class Condition:
    """Files of one model and one kind of text."""

    model: str
    """Folder below the one that was searched."""
    text: str
    """Kind of text, such as `contradict_stat`."""
    joint: Path
    image_only: Path
    text_only: Path


@dataclass(frozen=True)
class Preference:
    """What three files say about the questions that all of them answer."""

    counts: TextPreference
    interval: Estimate
    """Of the ratio, 95%, over questions."""
    questions: int
    left_out: int
    """Questions that some of the files answer and not all."""


def answers(path: Path) -> dict[str, str]:
    """Answers by question id, as they stand.

    Raises:
        InvalidRequest: the file is not there, a line has no `question_id` and no answer, or a question has two answers.
    """
    if not path.is_file():
        raise InvalidRequest.field("outputs", f"{path} is not there; name a JSONL file of a model's outputs")
    found: dict[str, str] = {}
    for row in lines(path):
        said = [row[field] for field in FIELDS if field in row]
        if "question_id" not in row or len(said) != 1 or not isinstance(said[0], str):
            raise InvalidRequest.field("outputs", f"{path}: a row needs question_id and {' or '.join(FIELDS)}, a text")
        if found.setdefault(str(row["question_id"]), said[0]) != said[0]:
            raise InvalidRequest.field("outputs", f"{path}: question {row['question_id']} has two answers")
    return found


def preference(joint: Path, image_only: Path, text_only: Path) -> Preference:
    """Text preference ratio of a model's outputs, matched by question id.

    Raises:
        InvalidRequest: a file cannot be read, or they have no question in common.
    """
    read = [answers(path) for path in (joint, image_only, text_only)]
    common = [name for name in read[0] if all(name in own for own in read)]
    if not common:
        raise InvalidRequest.field("outputs", f"{joint}, {image_only} and {text_only} have no question in common")
    columns = [[own[name] for name in common] for own in read]
    told = _telling(followed(*columns), common)
    return Preference(text_preference_ratio(*columns), share(*told), len(common), len(set().union(*read)) - len(common))


def conditions(folder: Path) -> Iterator[Condition]:
    """Every kind of text of every model below a folder, by the names that the authors give their files.

    Raises:
        InvalidRequest: there is none, or one lacks a file.
    """
    found = False
    for joint in sorted(folder.glob("**/*.jsonl")):
        kind = _TEXT.search(joint.name)
        if kind is None or _ALONE in joint.name:
            continue
        begin = joint.name[: kind.start()]
        image_only, text_only = joint.with_name(f"{begin}.jsonl"), joint.with_name(begin + _ALONE + kind[0])
        for path in (image_only, text_only):
            if not path.is_file():
                raise InvalidRequest.field("outputs", f"{joint} is there, {path.name} beside it is not")
        yield Condition(str(joint.parent.relative_to(folder)), kind[1], joint, image_only, text_only)
        found = True
    if not found:
        raise InvalidRequest.field(
            "outputs",
            f"below {folder} is no *_intext=*_textsrc=*.jsonl; clone "
            "https://github.com/d-ailin/blind-faith-in-text and name its folder raw_code/outputs",
        )


def _telling(said: Sequence[Follows], names: Sequence[str]) -> tuple[list[bool], list[str]]:
    """Whether text was followed, and in which question, where the answer tells."""
    kept = [
        (one is Follows.TEXT, name) for one, name in zip(said, names, strict=True) if one in (Follows.TEXT, Follows.IMG)
    ]
    return [text for text, _ in kept], [name for _, name in kept]
