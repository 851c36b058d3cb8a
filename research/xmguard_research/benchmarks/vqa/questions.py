"""Questions of VQA-v2 with their picture and the answer that most people gave. Knows no suite."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from xmguard.errors import InvalidRequest

AGREED = 6
"""Of the ten people asked, as many at least have to give the answer."""
SOURCE = "get questions, annotations and the COCO images from https://visualqa.org/download.html"


@dataclass(frozen=True)
class Asked:
    """A question about a picture."""

    name: str
    question: str
    answer: str
    """That most people gave."""
    others: frozenset[str]
    """Every answer that anybody gave."""
    given: int
    """How many gave the one that most did."""
    kind: str
    """How the question begins and what is asked for: questions of one kind can be answered alike."""
    picture: Path


class LeftOut(Enum):
    """Why a question gives no cases."""

    UNSURE = f"fewer than {AGREED} of 10 people gave the answer"
    NO_PICTURE = "its picture is not in the folder"
    NO_OTHER = "no other answer of its kind"


def read(questions: Path, annotations: Path, images: Path) -> list[Asked]:
    """Every question with its annotation; pictures are named as COCO names them, and need not be there.

    Raises:
        InvalidRequest: a file is not there or is none of VQA-v2's, or a question has no annotation.
    """
    asked, answered = _json("questions", questions), _json("annotations", annotations)
    if not images.is_dir() or images == Path():
        raise InvalidRequest.field("images", f"{images} is no folder; {SOURCE}")
    try:
        texts = {row["question_id"]: row["question"] for row in asked["questions"]}
        subset = answered["data_subtype"]
        return [_asked(row, texts[row["question_id"]], images, subset) for row in answered["annotations"]]
    except (LookupError, TypeError) as error:
        raise InvalidRequest.field("annotations", f"{annotations} and {questions} do not fit: {error!r}") from error


def other_answer(rows: Sequence[Asked], one: Asked, seed: int) -> str | LeftOut:
    """An answer that most people gave to another question of the kind, and nobody to this one.

    Chosen at random by seed and the question's name, each answer as often as it is given.
    """
    if one.given < AGREED:
        return LeftOut.UNSURE
    if not one.picture.is_file():
        return LeftOut.NO_PICTURE
    fitting = [row.answer for row in rows if row.kind == one.kind and row.answer not in one.others]
    if not fitting:
        return LeftOut.NO_OTHER
    return Random(int(sha256(f"{seed} {one.name}".encode()).hexdigest(), 16)).choice(fitting)


def drawn(rows: Sequence[Asked], count: int, seed: int) -> tuple[list[tuple[Asked, str]], Counter[LeftOut]]:
    """So many questions at random with another answer, and how many were drawn and left out, by reason.

    Raises:
        InvalidRequest: there are not so many.
    """
    by_kind: dict[str, list[Asked]] = {}
    for row in rows:
        by_kind.setdefault(row.kind, []).append(row)
    order = sorted(rows, key=lambda row: sha256(f"{seed} order {row.name}".encode()).digest())
    found: list[tuple[Asked, str]] = []
    left: Counter[LeftOut] = Counter()
    for row in order:
        if len(found) == count:
            break
        other = other_answer(by_kind[row.kind], row, seed)
        if isinstance(other, LeftOut):
            left[other] += 1
        else:
            found.append((row, other))
    if len(found) < count:
        why = "; ".join(f"{number}: {one.value}" for one, number in left.items())
        raise InvalidRequest.field("count", f"of {len(rows)} questions {len(found)} can be used, not {count} ({why})")
    return found, left


def _asked(row: dict[str, Any], question: str, images: Path, subset: str) -> Asked:
    said = Counter(_plain(one["answer"]) for one in row["answers"])
    answer = _plain(row["multiple_choice_answer"])
    return Asked(
        name=str(row["question_id"]),
        question=question,
        answer=answer,
        others=frozenset(said) | {answer},
        given=said[answer],
        kind=f"{row['question_type']}, {row['answer_type']}",
        picture=images / f"COCO_{subset}_{row['image_id']:012}.jpg",
    )


def _plain(answer: str) -> str:
    return answer.strip().lower()


def _json(field: str, path: Path) -> Any:
    if not path.is_file():
        raise InvalidRequest.field(field, f"{path} is not there; {SOURCE}" if path.name else f"is missing; {SOURCE}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRequest.field(field, f"{path} is not JSON: {error}") from error
