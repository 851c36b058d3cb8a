"""Tables, pictures and results files of the yardsticks, and the command that makes them."""

import json
import re
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from xmguard_research.results import append, known
from xmguard_research.verdict.__main__ import NEUTRAL, Scored, main
from xmguard_research.verdict.baselines import OVERLAP
from xmguard_research.verdict.figures import calibration, roc
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.report import VERDICT, Row, by_part, columns, markdown


def row(number, label, *, yardstick="y", probability=None, decision="", **scores):
    pair = Pair(f"{yardstick}{number}{label}", str(number), yardstick, "What?", ("a", "b"), ("en", "en"), label)
    return Row(pair, {name.replace("_", " "): value for name, value in scores.items()}, decision, probability)


def table(text, heading):
    """First cell to the others, of the first table under a heading."""
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    (found,) = [part for part in section if part.startswith(heading + "\n")]
    lines = [line for line in found.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line[2:-2].split(" | ")] for line in lines)}


@pytest.fixture
def rows():
    made = []
    for number in range(40):
        for label in (Label.CONFLICT, Label.CONSISTENT):
            right = float(label is Label.CONFLICT)
            decision = "UNDETERMINED" if number == 0 else label.name
            made.append(
                row(
                    number,
                    label,
                    probability=None if number == 0 else 0.2 + 0.6 * right,
                    decision=decision,
                    word_overlap=float(number % 7),
                    good=None if number == 1 else right,
                    same=2.0 * (number % 7),
                    bad=-right,
                    nothing=None,
                )
            )
    return made


def test_a_missing_score_is_neutral_and_counted(rows):
    found = columns(rows, {"good": 0.5})
    assert list(found) == [VERDICT, OVERLAP, "good", "same", "bad"]
    assert found["good"][0][:6] == [1.0, 0.0, 0.5, 0.5, 1.0, 0.0]
    assert (found["good"][1], found[VERDICT][1], found[OVERLAP][1]) == (2, 2, 0)
    assert found[VERDICT][0][:2] == [0.5, 0.5]
    with pytest.raises(ValueError, match="'good' is missing on 2 pairs"):
        columns(rows, {})
    with pytest.raises(ValueError, match="different scores"):
        columns([*rows, row(99, Label.CONFLICT, word_overlap=1.0)], {"good": 0.5})


def test_the_table_says_what_is_above_overlap_and_what_is_not(rows):
    found = table(markdown(rows, {"good": 0.5}), "y")
    assert found[OVERLAP][0].startswith("0.500 [")
    assert [found[name][4] for name in (OVERLAP, "good", "same", "bad")] == [
        "",
        "above overlap",
        "not above overlap",
        "below overlap",
    ]
    assert found["good"][0].startswith("1.000 ["), "a tie of one neutral conflict with one other costs half in 1600"
    assert found["good"][1].startswith("0.988 ["), "and half in 40 within items"
    assert found["good"][5] == "2"
    assert "nothing" not in found


def test_decisions_are_counted_by_label(rows):
    text = markdown(rows, {"good": 0.5})
    assert "| called | CONFLICT | CONSISTENT | UNDETERMINED |" in text
    assert "| conflict pairs (40) | 39 | 0 | 1 |" in text
    assert "| consistent pairs (40) | 0 | 39 | 1 |" in text
    assert "Of the 78 pairs with a probability (2 have none): Brier 0.040 [" in text
    assert "ECE over 15 bins of equal mass 0.200 [" in text


def test_every_yardstick_has_a_table_of_its_own_and_one_class_is_undefined(rows):
    alone = [row(number, Label.UNDETERMINED, yardstick="z", word_overlap=1.0) for number in range(3)]
    text = markdown([*rows, *alone], {"good": 0.5}, ["a note"])
    assert list(re.findall(r"^## (.*)$", text, flags=re.MULTILINE)) == ["y", "z"]
    assert "3 pairs (3 undetermined), 3 items." in text
    assert table(text, "z")[OVERLAP][0] == "undefined (one class only)"
    assert text.endswith("a note\n")


def test_the_size_says_what_the_commoner_answer_alone_is_worth(rows):
    assert "Always saying the commoner of conflict and no conflict is right on 50%." in markdown(rows, {"good": 0.5})
    lone = [row(number, Label.CONSISTENT, probability=0.5, decision="CONSISTENT") for number in range(120)]
    few = [replace(one, scores=dict.fromkeys(rows[0].scores, 0.0)) for one in lone]
    assert "is right on 80%." in markdown([*rows, *few], {"good": 0.5, "nothing": 0.0})


def test_parts_of_a_yardstick_have_numbers_of_their_own(rows):
    text = by_part(rows, {"good": 0.5}, lambda pair: "few" if int(pair.item) < 5 else "many")
    cells = {line.split(" | ")[0][2:]: line[2:-2].split(" | ")[1:] for line in text.splitlines() if "---" not in line}
    assert cells["AUROC in y"] == ["few, 5 items", "many, 35 items"]
    assert [value.split(" ")[0] for value in cells["good"]] == ["0.980", "1.000"]
    assert [value.split(" ")[0] for value in cells[VERDICT]] == ["0.980", "1.000"]


def test_pictures_are_drawn_where_there_is_something_to_draw(rows, tmp_path):
    neutral = {"good": 0.5}
    assert roc(rows, neutral, tmp_path / "roc.png")
    assert calibration(rows, tmp_path / "reliability.png")
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("roc.png", "reliability.png"))
    plain = [row(number, Label.CONFLICT, word_overlap=1.0) for number in range(3)]
    assert not roc(plain, {}, tmp_path / "none.png")
    assert not calibration(plain, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_what_was_measured_is_not_measured_again_and_strangers_are_refused(tmp_path):
    path = tmp_path / "out" / "rows.jsonl"
    asked = []

    def measure(key):
        asked.append(key)
        if key == "c":
            raise KeyboardInterrupt
        return [Scored(key, 0.75, "me")]

    with pytest.raises(KeyboardInterrupt):
        list(append(path, ["a", "b", "c"], measure, "measuring"))
    done = known(path, Scored, "me")
    assert done == {key: Scored(key, 0.75, "me") for key in ("a", "b")}
    with pytest.raises(typer.BadParameter, match="results of me"):
        known(path, Scored, "somebody else")


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(main)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def test_the_command_needs_no_model(command, tmp_path):
    done = command("--templates", 30, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    found = table((tmp_path / "report.md").read_text(), "templates")
    assert set(NEUTRAL) & set(found) == {OVERLAP, "numbers the other lacks", "first text only", "second text only"}
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert len(scores) == len({score["key"] for score in scores})
    assert {score["yardstick"] for score in scores} == {"templates", "templates-irrelevant"}
    assert (tmp_path / "roc.png").exists()
    assert not (tmp_path / "reliability.png").exists()


def test_as_many_items_are_drawn_as_are_asked_for(command, tmp_path):
    for seed in (0, 1):
        assert command("--templates", 30, "--items", 5, "--seed", seed, "--out", tmp_path / str(seed)).exit_code == 0
    first, other = (
        [json.loads(line) for line in (tmp_path / seed / "scores.jsonl").read_text().splitlines()] for seed in "01"
    )
    drawn = {score["item"] for score in first if score["yardstick"] == "templates"}
    assert len(drawn) == 5
    assert drawn != {score["item"] for score in other if score["yardstick"] == "templates"}


def test_the_command_without_a_yardstick_says_which_there_are(command):
    done = command()
    assert done.exit_code == 2
    assert "--templates" in done.output
