"""Conflicts made of XQuAD's paragraphs: what is changed, what is left out, and both forms of the data."""

import json
from pathlib import Path

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.baselines import rules, separations
from xmguard_research.benchmarks.digest import digest, line
from xmguard_research.benchmarks.xquad.conflicts import cases, chosen, counted
from xmguard_research.benchmarks.xquad.parallel import read
from xmguard_research.benchmarks.xquad.replacing import LeftOut
from xmguard_research.benchmarks.xquad.suites import xquad_conflict

REAL = Path(__file__).parents[3] / "shared/data/xquad_parallel.jsonl"
TOLD = {
    "en": ("The mill of {0} stands on a hill. It was built in {1}.", "When was the mill of {0} built?"),
    "zh": ("{0}的磨坊在山上。它建于{1}年。", "{0}的磨坊建于何时？"),
    "tr": ("{0} değirmeni tepededir. Yapım yılı {1}.", "{0} değirmeni ne zaman yapıldı?"),
}
MILLS = {"Arl": "1804", "Bry": "1811", "Cott": "1823", "Dunn": "1836"}


def official(language):
    """Four mills, the year of the first also inside a longer number, and a fifth that is asked what has no kind."""
    told, asked = TOLD[language]
    paragraphs = []
    for number, (place, year) in enumerate(MILLS.items()):
        context = told.format(place, year) + (" (11804)" if place == "Arl" else "")
        answers = [{"text": year, "answer_start": context.index(year)}]
        paragraphs.append({"context": context, "qas": [{"id": f"q{number}", "question": asked.format(place)}]})
        paragraphs[-1]["qas"][0]["answers"] = answers
    text = told.format("Ely", "1850")
    why = {"id": "why", "question": "Why?", "answers": [{"text": text[:5], "answer_start": 0}]}
    paragraphs.append({"context": text, "qas": [why]})
    return {"version": "1.1", "data": [{"title": "Mills", "paragraphs": paragraphs}]}


@pytest.fixture
def folder(tmp_path):
    for language in TOLD:
        content = json.dumps(official(language), ensure_ascii=False)
        (tmp_path / f"xquad.{language}.json").write_text(content, encoding="utf-8")
    return tmp_path


@pytest.fixture
def rows(folder):
    return read(folder)


def test_official_files_are_joined_by_their_ids(rows):
    assert [row.name for row in rows] == ["q0", "q1", "q2", "q3", "why"]
    assert [row.paragraph for row in rows] == ["0-0", "0-1", "0-2", "0-3", "0-4"]
    assert rows[1].question == "When was the mill of Bry built?"
    assert rows[1].contexts["zh"] == "Bry的磨坊在山上。它建于1811年。"
    assert rows[1].answers == {"en": "1811", "zh": "1811", "tr": "1811"}


def test_both_forms_of_the_data_give_the_same_cases(rows, tmp_path):
    path = tmp_path / "lines.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            answers = {code: {"text": text, "start": row.starts[code]} for code, text in row.answers.items()}
            said = {"id": row.name, "paragraph": row.paragraph, "question": {"en": row.question}}
            stream.write(json.dumps(said | {"context": dict(row.contexts), "answer": answers}) + "\n")
    assert digest(cases(read(path), ("en", "zh"))) == digest(cases(rows, ("en", "zh")))


def test_a_conflict_differs_from_its_control_in_one_answer(rows):
    made = {case.id: case for case in cases(rows, ("en", "tr"))}
    assert len(made) == 4 * 4
    for case in made.values():
        control = made[f"{case.id.rsplit('/', 1)[0]}/control"]
        different = [place for place in (0, 1) if case.spans[place] != control.spans[place]]
        assert len(different) == case.conflict
        for place in different:
            before, after = control.answers[place], case.answers[place]
            assert before != after
            assert case.spans[place].text == control.spans[place].text.replace(before, after, 1)
        assert len(set(control.answers)) == 1
        assert case.question.startswith("When was the mill of")
        assert case.variant == "-".join(span.language for span in case.spans)


def test_either_language_is_changed_in_turn_and_read_in_both_orders(rows):
    changed = {
        (case.item, case.variant): case.variant.split("-")[int(case.id[-1]) - 1]
        for case in cases(rows, ("en", "zh"))
        if case.conflict
    }
    assert [changed[f"0-{number}", "en-zh"] for number in range(4)] == ["en", "zh", "en", "zh"]
    assert [changed[f"0-{number}", "zh-en"] for number in range(4)] == ["en", "zh", "en", "zh"]


def test_in_one_language_the_changed_paragraph_comes_first_and_second_beside_one_control(rows):
    control, first, second = list(cases(rows, ("zh", "zh")))[:3]
    assert control.spans[0].text == control.spans[1].text
    assert [case.conflict for case in (control, first, second)] == [False, True, True]
    assert [span.text for span in first.spans] == [span.text for span in reversed(second.spans)]
    assert first.answers == tuple(reversed(second.answers))


def test_what_is_left_out_is_counted_by_reason(rows):
    assert counted(rows, ("en", "en")) == (4, {LeftOut.UNCLEAR: 1})
    alone = [rows[0], rows[4]]
    assert counted(alone, ("en", "en")) == (0, {LeftOut.UNCLEAR: 1, LeftOut.NO_OTHER: 1})


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(rows):
    assert digest(cases(rows, ("en", "zh"))) == digest(cases(rows, ("en", "zh")))
    assert digest(cases(rows, ("en", "zh"))) != digest(cases(rows, ("en", "zh"), seed=1))
    case = next(cases(rows, ("en", "zh")))
    assert json.loads(line(case))["spans"][1] == {"language": "zh", "text": case.spans[1].text}


def test_every_pair_of_the_languages_that_are_there_can_be_asked_for(rows):
    assert chosen(rows) == [("en", "en"), ("zh", "zh"), ("tr", "tr"), ("en", "zh"), ("en", "tr")]
    assert chosen(rows, ["zh-tr"]) == [("zh", "tr")]
    with pytest.raises(InvalidRequest, match="'en-de' must be two of en, zh, tr"):
        chosen(rows, ["en-de"])


def test_the_suite_asks_every_case_and_says_what_to_do_without_data(folder):
    task = xquad_conflict(data=str(folder), variants="en-zh,zh-zh", prompts="standard")
    assert len(task.dataset) == 16 + 12
    assert {sample.metadata["variant"] for sample in task.dataset} == {"en-zh", "zh-en", "zh-zh"}
    with pytest.raises(InvalidRequest, match=r"data: is missing; get xquad\.en\.json"):
        xquad_conflict()
    with pytest.raises(InvalidRequest, match=r"neither a file nor a folder; get xquad\.en\.json"):
        xquad_conflict(data=str(folder / "nothing"))


def test_files_that_do_not_fit_are_refused(folder):
    turkish = folder / "xquad.tr.json"
    content = official("tr")
    content["data"][0]["paragraphs"][0]["qas"][0]["id"] = "other"
    turkish.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"xquad\.tr\.json: other and 1 more questions"):
        read(folder)
    content = official("tr")
    content["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] += 1
    turkish.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="q0: the answer in tr is not at"):
        read(folder)
    turkish.write_text('{"data": [{}]}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="is no file of XQuAD"):
        read(folder)
    (folder / "xquad.en.json").unlink()
    with pytest.raises(InvalidRequest, match=r"has no xquad\.en\.json"):
        read(folder)


def test_a_rule_that_compares_texts_or_numbers_is_shown_beside_every_model(rows):
    made = [*cases(rows, ("en", "en")), *cases(rows, ("en", "tr"))]
    found = {(rule.name, rule.variant): (rule.detected, rule.false_alarms) for rule in rules(made)}
    assert found["texts differ", "en-en"] == (1.0, 0.0)
    assert found["texts differ", "en-tr"] == (1.0, 1.0)
    assert found["numbers differ", "en-tr"] == (1.0, 0.0)
    by_name = {(one.name, one.variant): one.auroc.value for one in separations(made)}
    assert by_name["numbers the other lacks", "tr-en"] == 1.0


def test_real_paragraphs_give_the_cases_of_the_card():
    if not REAL.exists():
        pytest.skip("the parallel paragraphs are not on this machine")
    rows = read(REAL)
    used, left = counted(rows, ("en", "zh"))
    assert (used, left[LeftOut.UNCLEAR], left[LeftOut.REMAINS], left[LeftOut.NO_OTHER]) == (213, 320, 13, 48)
