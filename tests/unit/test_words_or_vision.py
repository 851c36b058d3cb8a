"""The suite of statements, and the text preference ratio of published outputs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.digest import digest
from xmguard_research.benchmarks.words_or_vision.__main__ import app
from xmguard_research.benchmarks.words_or_vision.outputs import answers, conditions, preference
from xmguard_research.benchmarks.words_or_vision.statements import WRITERS, read
from xmguard_research.benchmarks.words_or_vision.suites import of_items, words_or_vision

REAL = Path(__file__).parents[3] / "shared/data/vqa_statements.jsonl"


def written(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(number, changed, answer="red"):
    return {
        "id": number,
        "question": "What colour is the bus?",
        "answer": answer,
        "support": ["The bus is red.", "A red bus stands there."],
        "contradict": [f"The bus is {changed[0]}.", f"A {changed[1]} bus stands there."],
        "changed_answer": changed,
    }


def statements(path, *, duplicate=False):
    """The published folder of two questions; the second writer has no row of the second."""
    for place, writer in enumerate(WRITERS):
        for side, key in (("supp", "support"), ("contradict", "contradict")):
            rows = [
                {
                    "question_id": number,
                    "question": "What colour is the bus?",
                    "response": [row(number, ["blue", "Blue"])[key][place]],
                    "original_ans": ["red"],
                    "changed_ans": [["blue", "Blue"][place]],
                }
                for number in range(2 - place)
            ]
            later = [{**rows[0], "response": ["Something else."]}] if duplicate else []
            written(path / writer / f"{side}_stat.jsonl", [*rows, *later])
    return path


def test_cases_are_four_of_every_question_whose_contradictions_agree(tmp_path):
    items = read(written(tmp_path / "a.jsonl", [row(1, ["blue", "Blue "]), row(2, ["blue", "green"])]))
    made = list(of_items(items))
    assert [case.id for case in made] == ["1/s0-c1", "1/c0-s1", "1/s0-s1", "1/c0-c1"]
    assert [case.conflict for case in made] == [True, True, False, False]
    assert [case.answers for case in made] == [("red", "Blue "), ("blue", "red"), ("red", "red"), ("blue", "Blue ")]
    for place in (0, 1):
        by_label = [
            sorted(case.spans[place].text for case in made if case.conflict is label) for label in (True, False)
        ]
        assert by_label[0] == by_label[1]
    assert {case.variant for case in made} == {"text-text"}


def test_questions_about_one_picture_are_one_item(tmp_path):
    rows = [row(number, ["blue", "blue"]) for number in (577161010, 577161018)]
    for place, writer in enumerate(WRITERS):
        for side, key, said in (("supp", "support", "red"), ("contradict", "contradict", "blue")):
            lines = [
                {
                    "question_id": one["id"],
                    "question": one["question"],
                    "response": [one[key][place]],
                    "original_ans": ["red"],
                    "changed_ans": [said],
                }
                for one in rows
            ]
            written(tmp_path / "published" / writer / f"{side}_stat.jsonl", lines)
    folder = list(of_items(read(tmp_path / "published")))
    assert len(folder) == 8
    assert {case.item for case in folder} == {"577161"}
    named = [{**one, "picture": "a"} for one in rows]
    assert {case.item for case in of_items(read(written(tmp_path / "a.jsonl", named)))} == {"a"}
    assert len({case.item for case in of_items(read(written(tmp_path / "b.jsonl", rows)))}) == 2


@pytest.mark.parametrize("duplicate", [False, True])
def test_the_published_folder_gives_the_same_cases_as_lines(tmp_path, duplicate):
    folder = statements(tmp_path / "published", duplicate=duplicate)
    lines = written(tmp_path / "a.jsonl", [row(0, ["blue", "Blue"])])
    assert digest(of_items(read(folder))) == digest(of_items(read(lines)))


def test_data_that_is_missing_says_where_to_get_it(tmp_path):
    for wrong in ("", str(tmp_path / "nothing")):
        with pytest.raises(InvalidRequest, match=r"data: .*clone https://github\.com/d-ailin"):
            words_or_vision(data=wrong)
    with pytest.raises(InvalidRequest, match=r"supp_stat\.jsonl is not there"):
        read(tmp_path)
    with pytest.raises(InvalidRequest, match="a row lacks what it should have: KeyError"):
        read(written(tmp_path / "b.jsonl", [{"id": 1}]))
    with pytest.raises(InvalidRequest, match="1 and 0 more rows have no answer"):
        read(written(tmp_path / "c.jsonl", [row(1, ["blue", "blue"], answer="")]))


def test_the_suite_asks_every_case(tmp_path):
    task = words_or_vision(data=str(written(tmp_path / "a.jsonl", [row(1, ["blue", "blue"])])), prompts="explicit")
    assert len(task.dataset) == 4
    assert {sample.metadata["item"] for sample in task.dataset} == {"1"}


# -- text preference -------------------------------------------------------------------------------------------------


def outputs(folder, joint, image, text, field="output"):
    """Files by the authors' names; question ids are the places."""
    begin = "t=0_seed=0"
    kind = "_intext=caption+custom-25_textsrc=contradict_stat_textsrcmodel=gpt-4o-2024-05-13_capnum=1.jsonl"
    names = (begin + kind, f"{begin}.jsonl", f"{begin}_intype=wo-img{kind}")
    for name, column in zip(names, (joint, image, text), strict=True):
        rows = [{"question_id": number, field: said} for number, said in enumerate(column) if said is not None]
        written(folder / "some-model" / name, rows[::-1] if column is text else rows)
    return folder


JOINT = ["Blue.", " RED ", "red", "green", "", "u.s.", "blue..", "blue ."]
IMAGE = ["red", "red.", "Red", "red", "red", "USA", "red", "red"]
TEXT = ["blue", "blue", "RED.", "blue", ".", "U.S", "blue", "blue"]


@pytest.mark.parametrize("field", ["output", "pred_answer"])
def test_the_ratio_is_that_of_the_answers_matched_by_question(tmp_path, field):
    (one,) = conditions(outputs(tmp_path, JOINT, IMAGE, TEXT, field))
    assert (one.model, one.text) == ("some-model", "contradict_stat")
    found = preference(one.joint, one.image_only, one.text_only)
    # text: blue, the empty answer and "u.s."; image: " RED "; both: red; neither: green, "blue..", "blue ."
    assert found.counts == (3, 1, 1, 3, 0.75)
    assert (found.questions, found.left_out) == (8, 0)
    assert found.interval.value == 0.75
    assert found.interval.low < 0.75 < found.interval.high


def test_questions_that_a_file_lacks_are_counted(tmp_path):
    (one,) = conditions(outputs(tmp_path, JOINT, [None, *IMAGE[1:]], TEXT))
    found = preference(one.joint, one.image_only, one.text_only)
    assert (found.questions, found.left_out, found.counts.text) == (7, 1, 2)


def test_no_answer_that_tells_gives_no_ratio(tmp_path):
    (one,) = conditions(outputs(tmp_path, ["a"], ["a"], ["A."]))
    found = preference(one.joint, one.image_only, one.text_only)
    assert found.counts == (0, 0, 1, 0, None)
    assert found.interval.value is None


def test_outputs_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="clone https"):
        list(conditions(tmp_path))
    (one,) = conditions(outputs(tmp_path, JOINT, IMAGE, TEXT))
    one.text_only.unlink()
    with pytest.raises(InvalidRequest, match=r"is there, t=0_seed=0_intype=wo-img.* beside it is not"):
        list(conditions(tmp_path))
    with pytest.raises(InvalidRequest, match="is not there"):
        answers(one.text_only)
    with pytest.raises(InvalidRequest, match="a row needs question_id and output or pred_answer"):
        answers(written(tmp_path / "a.jsonl", [{"question_id": 1, "answers": ["red"]}]))
    with pytest.raises(InvalidRequest, match="question 1 has two answers"):
        answers(written(tmp_path / "a.jsonl", [{"question_id": 1, "output": said} for said in ("red", "blue")]))
    other = written(tmp_path / "b.jsonl", [{"question_id": 99, "output": "red"}])
    with pytest.raises(InvalidRequest, match="no question in common"):
        preference(one.joint, one.image_only, other)


def test_the_commands_show_counts_and_ratios(tmp_path):
    outputs(tmp_path, JOINT, IMAGE, TEXT)
    shown = CliRunner().invoke(app, ["tpr", "--outputs", str(tmp_path)])
    assert "0.7500" in shown.stdout
    lines = written(tmp_path / "a.jsonl", [row(1, ["blue", "Blue"]), row(2, ["blue", "green"])])
    shown = CliRunner().invoke(app, ["cases", "--data", str(lines)])
    assert "4 cases of 1 questions, SHA-256" in shown.stdout
    assert "1 questions left out" in shown.stdout
    assert isinstance(CliRunner().invoke(app, ["tpr"]).exception, InvalidRequest)


def test_real_statements_give_the_cases_of_the_card():
    if not REAL.exists():
        pytest.skip("the statements are not on this machine")
    card = Path(read.__code__.co_filename).with_name("README.md").read_text(encoding="utf-8")
    assert digest(of_items(read(REAL))) in card
