"""Questions of VQA-v2 with their picture and the answer that most people gave. Knows no suite."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from xmguard.errors import InvalidRequest

T = TypeVar("T")
AGREED = 6
"""Of the ten people asked, as many at least have to give the answer."""
_DIGITS = 3
YES_NO = frozenset(("yes", "no"))
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


def picture_of(name: str) -> str:
    """The id of the picture that a question of VQA-v2 is about: the question's is that and three digits more.

    An id that is shorter is no such id and stands for itself.
    """
    return name[:-_DIGITS] or name


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
    if (why := _useless(one)) is not None:
        return why
    fitting = [row.answer for row in rows if row.kind == one.kind and row.answer not in one.others]
    if not fitting:
        return LeftOut.NO_OTHER
    return Random(int(sha256(f"{seed} {one.name}".encode()).hexdigest(), 16)).choice(fitting)


def drawn(rows: Sequence[Asked], count: int, seed: int) -> list[tuple[Asked, str]]:
    """So many questions at random with another answer.

    Raises:
        InvalidRequest: there are not so many; it says how many are left out, by reason.
    """
    by_kind: dict[str, list[Asked]] = {}
    for row in rows:
        by_kind.setdefault(row.kind, []).append(row)
    return _first(rows, count, seed, lambda row: _with_other(by_kind[row.kind], row, seed))


def agreed(rows: Sequence[Asked], count: int, seed: int) -> list[Asked]:
    """So many questions at random that have an answer which nobody gave, for someone to think of.

    A question that some answered with yes and some with no has none. The order is that of `drawn`.

    Raises:
        InvalidRequest: there are not so many; it says how many are left out, by reason.
    """

    def usable(row: Asked) -> Asked | LeftOut:
        return _useless(row) or (LeftOut.NO_OTHER if row.others >= YES_NO else row)

    return _first(rows, count, seed, usable)


def _useless(one: Asked) -> LeftOut | None:
    if one.given < AGREED:
        return LeftOut.UNSURE
    return None if one.picture.is_file() else LeftOut.NO_PICTURE


def _with_other(kindred: Sequence[Asked], one: Asked, seed: int) -> tuple[Asked, str] | LeftOut:
    other = other_answer(kindred, one, seed)
    return other if isinstance(other, LeftOut) else (one, other)


def _first(rows: Sequence[Asked], count: int, seed: int, use: Callable[[Asked], T | LeftOut]) -> list[T]:
    """What is made of the first rows at random that can be used."""
    found: list[T] = []
    left: Counter[LeftOut] = Counter()
    for row in sorted(rows, key=lambda row: sha256(f"{seed} order {row.name}".encode()).digest()):
        if len(found) == count:
            break
        made = use(row)
        if isinstance(made, LeftOut):
            left[made] += 1
        else:
            found.append(made)
    if len(found) < count:
        why = "; ".join(f"{number}: {one.value}" for one, number in left.items())
        raise InvalidRequest.field("count", f"of {len(rows)} questions {len(found)} can be used, not {count} ({why})")
    return found


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
