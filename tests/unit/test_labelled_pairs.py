"""A user's labelled pairs, as they are read from a file."""

import json
from pathlib import Path

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.calibration.labelled import description, read_pairs, with_languages
from xmguard_research.verdict.pairs import Label

GOOD = {"question": "When does it leave?", "texts": ["At 8:15.", "At 9:40."], "label": "conflict"}


def save(folder: Path, *rows: object) -> Path:
    path = folder / "my.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_pairs_are_read_in_order_and_equal_ones_are_one_item(tmp_path: Path):
    again = GOOD | {"languages": ["en", "de"]}
    other = {**GOOD, "texts": ["Um 8:15.", "At 8:15."], "label": "consistent", "item": "ferry"}
    first, second, third = read_pairs(save(tmp_path, GOOD, "", again, other))
    assert (first.question, first.texts, first.label) == (
        "When does it leave?",
        ("At 8:15.", "At 9:40."),
        Label.CONFLICT,
    )
    assert first.languages == ("", "")
    assert second.languages == ("en", "de")
    assert first.item == second.item
    assert (third.item, third.key) == ("ferry", "line 4")


def test_a_line_that_says_the_same_again_is_read_once(tmp_path: Path):
    assert len(read_pairs(save(tmp_path, GOOD, GOOD))) == 1


def test_languages_that_are_not_given_are_detected(tmp_path: Path):
    pairs = read_pairs(save(tmp_path, GOOD | {"languages": ["", "de"]}))
    assert with_languages(pairs, lambda text: f"x-{len(text)}")[0].languages == ("x-8", "de")


def test_every_line_that_is_wrong_is_named_with_what_is_wrong(tmp_path: Path):
    path = save(
        tmp_path,
        "{",
        GOOD,
        [],
        GOOD | {"label": "maybe"},
        GOOD | {"texts": ["one"]},
        GOOD | {"texts": ["one", " "]},
        {"question": "q?", "text": "x", "label": ["conflict"]},
        GOOD | {"languages": ["en"]},
        GOOD | {"languages": ["en", "not a tag"]},
        GOOD | {"item": 3, "question": ""},
        GOOD | {"label": "consistent"},
    )
    with pytest.raises(InvalidRequest) as caught:
        read_pairs(path)
    found = [(violation.field, violation.description) for violation in caught.value.violations]
    known = "question, texts, label, languages, item"
    languages = 'languages is no list of two BCP-47 tags such as "en"; an empty one is detected'
    assert found == [
        ("my.jsonl, line 1", "is not JSON: Expecting property name enclosed in double quotes at column 2"),
        ("my.jsonl, line 3", "is no object with the keys question, texts, label"),
        ("my.jsonl, line 4", "label is not one of conflict, consistent, undetermined"),
        ("my.jsonl, line 5", "texts is no list of two texts that are not empty"),
        ("my.jsonl, line 6", "texts is no list of two texts that are not empty"),
        ("my.jsonl, line 7", "texts is missing"),
        ("my.jsonl, line 7", f"text is not known; the keys are {known}"),
        ("my.jsonl, line 7", "label is not one of conflict, consistent, undetermined"),
        ("my.jsonl, line 8", languages),
        ("my.jsonl, line 9", languages),
        ("my.jsonl, line 10", "question is no text, or empty"),
        ("my.jsonl, line 10", "item is no text, or empty"),
        ("my.jsonl, line 11", "is labelled consistent, line 2 labels the same pair conflict"),
    ]


@pytest.mark.parametrize(("content", "reason"), [(b"", "holds no pair"), (b"\xff", "cannot be read")])
def test_a_file_without_pairs_is_refused(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "my.jsonl").write_bytes(content)
    with pytest.raises(InvalidRequest, match=reason):
        read_pairs(tmp_path / "my.jsonl")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="No such file"):
        read_pairs(tmp_path / "none.jsonl")


def test_the_description_names_the_file_and_its_content(tmp_path: Path):
    path = save(tmp_path, GOOD)
    before = description(path, read_pairs(path))
    assert before.startswith("1 pairs of my.jsonl, SHA-256 ")
    save(tmp_path, GOOD | {"label": "consistent"})
    assert description(path, read_pairs(path)) != before
