"""Pictures of VQA-v2 beside a statement: which questions are used, and what is said."""

import json

import pytest
from PIL import Image

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.digest import digest
from xmguard_research.benchmarks.vqa.questions import LeftOut, drawn, read
from xmguard_research.benchmarks.vqa.suites import of_questions, vqa_conflict

COLOURS = ("red", "blue", "green", "black")


@pytest.fixture
def folder(tmp_path):
    """Four colours, one that people do not agree on, one without a picture, and the only question of its kind."""
    (tmp_path / "images").mkdir()
    questions, annotations = [], []
    answers = [[colour] * 10 for colour in COLOURS] + [["pink"] * 5 + ["rose"] * 5, ["white"] * 10, ["two"] * 10]
    answers[0][9] = " Blue"
    for number, said in enumerate(answers):
        is_count = said[0] == "two"
        questions.append({"question_id": number, "image_id": number, "question": "What colour is it?"})
        annotations.append(
            {
                "question_id": number,
                "image_id": number,
                "multiple_choice_answer": said[0],
                "answers": [{"answer": one} for one in said],
                "question_type": "how many" if is_count else "what color is",
                "answer_type": "number" if is_count else "other",
            }
        )
        if said[0] != "white":
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "images" / f"COCO_val2014_{number:012}.jpg")
    (tmp_path / "q.json").write_text(json.dumps({"questions": questions}), encoding="utf-8")
    written = {"data_subtype": "val2014", "annotations": annotations}
    (tmp_path / "a.json").write_text(json.dumps(written), encoding="utf-8")
    return tmp_path


def of(folder):
    return read(folder / "q.json", folder / "a.json", folder / "images")


def test_another_answer_is_of_the_kind_and_nobodys(folder):
    for seed in range(8):
        found = drawn(of(folder), 4, seed)
        assert {one.answer for one, _ in found} == set(COLOURS)
        for one, other in found:
            assert other in {*COLOURS, "pink", "white"} - {one.answer}
            assert one.answer != "red" or other != "blue"  # one of ten said so
    with pytest.raises(InvalidRequest, match="of 7 questions 4 can be used, not 5") as caught:
        drawn(of(folder), 5, 0)
    for why in LeftOut:
        assert f"1: {why.value}" in str(caught.value)


def test_a_case_shows_the_picture_and_says_an_answer_in_both_orders(folder):
    made = {case.id: case for case in of_questions(drawn(of(folder), 4, 0))}
    assert len(made) == 16
    conflict, control = made["2/text-image/conflict"], made["2/text-image/control"]
    assert control.answers == ("green", "green")
    assert conflict.answers[1] == "green" != conflict.answers[0]
    assert conflict.spans[0].text.replace(conflict.answers[0], "green") == control.spans[0].text
    picture = (folder / "images/COCO_val2014_000000000002.jpg").read_bytes()
    assert conflict.spans[1].media.data == control.spans[1].media.data == picture
    turned = made["2/image-text/conflict"]
    assert (turned.spans[0].media, turned.spans[1].text) == (conflict.spans[1].media, conflict.spans[0].text)
    assert turned.answers == conflict.answers[::-1]
    assert digest(made.values()) == digest(of_questions(drawn(of(folder), 4, 0)))


def test_questions_about_one_photograph_are_one_item(folder):
    for name, key in (("q.json", "questions"), ("a.json", "annotations")):
        read_back = json.loads((folder / name).read_text(encoding="utf-8"))
        for row in read_back[key]:
            row["image_id"] = min(row["image_id"], 2)
        (folder / name).write_text(json.dumps(read_back), encoding="utf-8")
    made = list(of_questions(drawn(of(folder), 4, 0)))
    assert len({case.id for case in made}) == 16
    assert {case.item for case in made} <= {f"COCO_val2014_{number:012}" for number in range(3)}


def test_the_suite_carries_pictures_and_says_which_file_is_missing(folder):
    told = {
        "questions": str(folder / "q.json"),
        "annotations": str(folder / "a.json"),
        "images": str(folder / "images"),
    }
    assert len(vqa_conflict(**told, count=2, prompts="explicit").dataset) == 8
    for name in told:
        with pytest.raises(InvalidRequest, match=rf"{name}: .*; get questions, annotations and the COCO images"):
            vqa_conflict(**(told | {name: str(folder / "nothing")}))
        with pytest.raises(InvalidRequest, match=f"{name}: .*get questions"):
            vqa_conflict(**(told | {name: ""}))
    (folder / "a.json").write_text('{"annotations": [{}]}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="do not fit: KeyError"):
        vqa_conflict(**told)
