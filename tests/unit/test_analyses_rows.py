"""Rows of an analysis survive a kill in the middle of a line."""

from dataclasses import dataclass

import pytest
import typer

from xmguard_research.results import append, known


@dataclass(frozen=True)
class Row:
    key: str
    produced_by: str
    said: str


def row(key, said="gelb über grün"):
    return Row(key, "me", said)


def test_what_a_kill_left_of_the_last_line_is_dropped_and_measured_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert len(list(append(path, ["a", "b"], lambda key: [row(key)], "x"))) == 2
    whole = path.read_bytes()
    for cut in (1, 2, 30):
        path.write_bytes(whole[:-cut])
        kept = known(path, Row, "me")
        assert kept["a"] == row("a")
        if cut == 1:  # only the line feed is missing
            assert set(kept) == {"a", "b"}
        missing = [key for key in ("a", "b") if key not in kept]
        list(append(path, missing, lambda key: [row(key)], "x"))
        assert path.read_bytes() == whole


def test_a_character_that_is_cut_in_two_is_no_reason_to_stop(tmp_path):
    path = tmp_path / "rows.jsonl"
    list(append(path, ["a", "b"], lambda key: [row(key)], "x"))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex("ü".encode()) + 1])
    assert known(path, Row, "me") == {"a": row("a")}


def test_what_is_no_row_is_not_dropped(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread", encoding="utf-8")
    with pytest.raises(typer.BadParameter, match="line 1 is not JSON"):
        known(path, Row, "me")
    assert path.read_text(encoding="utf-8") == "milk, bread"
