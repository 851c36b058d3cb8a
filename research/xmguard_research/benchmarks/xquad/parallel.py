"""Questions of XQuAD with their paragraph and answer in several languages, from either form in which they come.

Knows nothing of conflicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest
from xmguard_research.results import lines
from xmguard_research.verdict.answers import Kind, kind_of

ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh", "tr", "es", "de")
"""Whose answers there are rules for; XQuAD's other languages are not read."""
SOURCE = "get xquad.en.json and the others from https://github.com/google-deepmind/xquad and name their folder"


@dataclass(frozen=True)
class Parallel:
    """A question with its paragraph and answer in several languages."""

    name: str
    paragraph: str
    """Several questions share one."""
    question: str
    """English."""
    contexts: Mapping[str, str]
    answers: Mapping[str, str]
    starts: Mapping[str, int]
    """Where the answer stands in each paragraph, in characters."""
    kind: Kind | None
    """Of the English answer."""


def read(path: Path) -> list[Parallel]:
    """What `path` holds: a folder of XQuAD's own files, or a file of lines.

    Raises:
        InvalidRequest: there is nothing, or an answer does not stand where it is said to.
    """
    if path == Path():
        raise InvalidRequest.field("data", f"is missing; {SOURCE}")
    if path.is_dir():
        return read_official(path)
    if not path.is_file():
        raise InvalidRequest.field("data", f"{path} is neither a file nor a folder; {SOURCE}")
    return read_parallel(path)


def read_parallel(path: Path) -> list[Parallel]:
    """Rows of a JSONL file with `id`, `paragraph`, `question`, `context` and `answer` {language: {text, start}}.

    Raises:
        InvalidRequest: an answer does not stand where its row says.
    """
    return _placed(path, [_parallel(row) for row in lines(path)])


def read_official(folder: Path) -> list[Parallel]:
    """Questions of `xquad.LANGUAGE.json`, which have the same ids in every language; English has to be among them.

    A paragraph is named by the numbers of its article and its place in it.

    Raises:
        InvalidRequest: the English file is missing, a file is no such file, a question is not in all of them, or an
            answer does not stand where its file says.
    """
    places = {language: folder / f"xquad.{language}.json" for language in LANGUAGES}
    found = {language: path for language, path in places.items() if path.is_file()}
    if ENGLISH not in found:
        raise InvalidRequest.field("data", f"{folder} has no xquad.en.json; {SOURCE}")
    asked = {language: _asked(path) for language, path in found.items()}
    for language, own in asked.items():
        if missing := sorted(asked[ENGLISH].keys() ^ own.keys()):
            raise InvalidRequest.field(
                "data", f"{found[language]}: {missing[0]} and {len(missing) - 1} more questions are in one file only"
            )
    rows = [
        _parallel(
            {
                "id": name,
                "paragraph": english["paragraph"],
                "question": {ENGLISH: english["question"]},
                "context": {language: own[name]["context"] for language, own in asked.items()},
                "answer": {language: own[name]["answer"] for language, own in asked.items()},
            }
        )
        for name, english in asked[ENGLISH].items()
    ]
    return _placed(folder, rows)


def _asked(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return dict(_questions(json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidRequest.field("data", f"{path} is no file of XQuAD: {error!r}") from error


def _questions(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, article in enumerate(content["data"]):
        for place, paragraph in enumerate(article["paragraphs"]):
            for asked in paragraph["qas"]:
                answer = asked["answers"][0]
                yield (
                    asked["id"],
                    {
                        "paragraph": f"{number}-{place}",
                        "question": asked["question"],
                        "context": paragraph["context"],
                        "answer": {"text": answer["text"], "start": answer["answer_start"]},
                    },
                )


def _parallel(row: Mapping[str, Any]) -> Parallel:
    question, contexts = row["question"][ENGLISH], row["context"]
    answers = {language: answer["text"] for language, answer in row["answer"].items()}
    starts = {language: answer["start"] for language, answer in row["answer"].items()}
    kind = kind_of(question, answers[ENGLISH], contexts[ENGLISH], starts[ENGLISH])
    return Parallel(row["id"], row["paragraph"], question, contexts, answers, starts, kind)


def _placed(path: Path, rows: list[Parallel]) -> list[Parallel]:
    for row in rows:
        for language, answer in row.answers.items():
            if not row.contexts[language].startswith(answer, row.starts[language]):
                raise InvalidRequest.field(
                    "data", f"{path}: {row.name}: the answer in {language} is not at {row.starts[language]}"
                )
    return rows
