"""Paragraphs in two languages with the answer changed in one: what is changed, and that nothing else is."""

import json
from pathlib import Path

import pytest

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.xquad.parallel import read_parallel
from xmguard_research.benchmarks.xquad.replacing import LeftOut, alternating, find_donor
from xmguard_research.verdict.answers import Kind, kind_of, occurrences, remains, replaced, shape
from xmguard_research.verdict.crosslingual import (
    OTHERS,
    foreign,
    four_way,
    kinds,
    twins,
)
from xmguard_research.verdict.pairs import Label

REAL = Path(__file__).parents[3] / "shared/data/xquad_parallel.jsonl"


def row(number, english, german, *, question="In which year was the mill built?", before="The mill was built in "):
    """A question whose answer stands after `before`, in English and German."""
    contexts = {
        "en": f"{before}{english}. Nobody knows why, but {english} is on the door of house {number}.",
        "de": f"Die Mühle wurde {german} gebaut. Niemand weiß warum, aber an der Tür von Haus {number} steht {german}.",
    }
    return {
        "id": f"q{number}",
        "paragraph": f"p{number}",
        "question": {"en": question, "de": "Wann?"},
        "context": contexts,
        "answer": {
            "en": {"text": english, "start": contexts["en"].index(english)},
            "de": {"text": german, "start": contexts["de"].index(german)},
        },
    }


def written(rows, tmp_path):
    path = tmp_path / "parallel.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    return read_parallel(path)


@pytest.fixture
def parallel(tmp_path):
    rows = [row(number, str(1900 + 7 * number), str(1900 + 7 * number)) for number in range(6)]
    rows += [row(10, "four", "vier"), row(11, "nine", "neun"), row(12, "17,419", "17.419"), row(13, "23,500", "23.500")]
    rows += [row(14, "because it rained", "weil es regnete")]
    return written(rows, tmp_path)


def test_an_answer_that_is_not_where_it_is_said_to_be_is_refused(tmp_path):
    wrong = row(1, "1907", "1907")
    wrong["answer"]["de"]["start"] += 1
    path = tmp_path / "parallel.jsonl"
    path.write_text(json.dumps(wrong), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="q1: the answer in de"):
        read_parallel(path)


def test_twins_come_in_both_orders_with_the_answer_gone_from_one_text_of_a_conflict(parallel):
    by_name = {one.name: one for one in parallel}
    pairs = list(twins(parallel, "de"))
    assert len({one.key for one in pairs}) == len(pairs) == 4 * 10
    for conflict, consistent in zip(
        *[[p for p in pairs if p.label is label] for label in (Label.CONFLICT, Label.CONSISTENT)], strict=True
    ):
        name = conflict.key.split("|")[1]
        source = by_name[name]
        assert consistent.key.split("|")[1] == name
        assert conflict.languages == consistent.languages
        assert conflict.item == consistent.item == source.paragraph
        assert consistent.texts == tuple(source.contexts[language] for language in conflict.languages)
        changed = [
            language
            for language, text in zip(conflict.languages, conflict.texts, strict=True)
            if text != source.contexts[language]
        ]
        assert conflict.key.endswith("changed:" + "+".join(changed))
        (language,) = changed
        text = conflict.texts[conflict.languages.index(language)]
        assert source.answers[language] not in text
        start = source.starts[language]
        assert text[:start] == source.contexts[language][:start]
        assert any(text.startswith(other.answers[language], start) for other in parallel if other is not source)
    assert {one.languages for one in pairs} == {("en", "de"), ("de", "en")}


def test_the_changed_language_alternates_over_answers_of_a_kind(parallel):
    order = [(one.name, language) for one, language in alternating(parallel, ("en", "de"))]
    assert [language for _, language in order] == ["en", "de"] * 5
    assert "q14" not in dict(order)


def test_numbers_are_replaced_as_their_language_writes_them(parallel):
    thousands = next(one for one in parallel if one.name == "q12")
    donor = find_donor(parallel, thousands, ("de",), ("en", "de"), 0)
    assert (donor.name, donor.answers["de"], donor.answers["en"]) == ("q13", "23.500", "23,500")


def in_country(number, name, **changes):
    return row(number, name, name, question="In which country is the mill?", **changes)


@pytest.mark.parametrize(
    ("other", "before", "fits"),
    [
        ("Norway", "The mill is in ", True),
        ("Kentish", "The mill is in ", False),
        ("Norway", "Unlike those of Norway the mill is in ", False),
        ("Port Lume", "The mill is in ", False),
    ],
)
def test_an_answer_fits_unless_it_is_of_another_shape_or_contained_or_there_already(tmp_path, other, before, fits):
    rows = written([in_country(1, "Kent", before=before), in_country(2, other)], tmp_path)
    for language in ("en", "de"):
        assert (find_donor(rows, rows[0], (language,), ("en", "de"), 0) is rows[1]) is fits


def test_an_answer_inside_a_longer_word_is_not_changed(tmp_path):
    rows = [row(1, "four", "vier"), row(2, "nine", "neun")]
    rows[0]["context"]["en"] = "The mill has fourteen sails."
    rows[0]["answer"]["en"]["start"] = rows[0]["context"]["en"].index("four")
    read = written(rows, tmp_path)
    assert find_donor(read, read[0], ("en",), ("en", "de"), 0) is LeftOut.REMAINS
    assert find_donor(read, read[0], ("de",), ("en", "de"), 0) is read[1]


def test_a_person_who_would_still_be_mentioned_is_not_changed(tmp_path):
    rows = [row(n, name, name, question="Who built it?") for n, name in enumerate(("Anna Keller", "Paul Novak"))]
    rows[0]["context"]["de"] += " Keller starb früh."
    read = written(rows, tmp_path)
    assert find_donor(read, read[0], ("de",), ("en", "de"), 0) is LeftOut.REMAINS
    assert find_donor(read, read[0], ("en",), ("en", "de"), 0) is read[1]


def test_four_way_pairs_have_every_text_as_often_in_either_label(parallel):
    pairs = list(four_way(parallel, "de"))
    assert len(pairs) == 8 * 10
    said = {
        label: sorted((place, one.item, one.texts[place]) for one in pairs if one.label is label for place in (0, 1))
        for label in (Label.CONFLICT, Label.CONSISTENT)
    }
    assert said[Label.CONFLICT] == said[Label.CONSISTENT]


def test_questions_are_counted_by_kind(parallel):
    lines = kinds(parallel, "de").splitlines()
    assert "| year | 6 | 6 | 6 |" in lines
    assert "| number | 4 | 4 | 4 |" in lines
    assert "| of no kind, left out | 1 | | |" in lines


def test_the_same_seed_gives_the_same_pairs(parallel):
    assert list(twins(parallel, "de")) == list(twins(parallel, "de"))
    assert list(twins(parallel, "de")) != list(twins(parallel, "de", seed=1))


@pytest.mark.parametrize(
    ("question", "answer", "before", "kind"),
    [
        ("When?", "1946", "It was ", Kind.YEAR),
        ("When?", "8 February 2007", "It was ", Kind.DATE),
        ("When?", "March", "It was ", Kind.DATE),
        ("How many?", "308", "It was ", Kind.NUMBER),
        ("How many?", "17,786,419", "It was ", Kind.NUMBER),
        ("How many?", "Five million", "It was ", Kind.NUMBER),
        ("How much?", "12%", "It was ", Kind.NUMBER),
        ("Who won?", "Anna Keller.", "It was ", Kind.PERSON),
        ("In what country?", "Kenya", "It was ", Kind.PLACE),
        ("What is it?", "University of Paris", "It was ", Kind.NAME),
        ("Who came?", "Students", "It rained. ", None),
        ("Who came?", "Students", "", None),
        ("What is it?", "the West", "It was ", None),
        ("How long?", "five to ten years", "It was ", None),
        ("What is it?", "MPEG-4", "It was ", None),
        ("Why?", "because of rain", "It was ", None),
    ],
)
def test_the_kind_of_an_answer(question, answer, before, kind):
    assert kind_of(question, answer, f"{before}{answer}, they say.", len(before)) is kind


@pytest.mark.parametrize(
    ("answer", "language", "kind", "wanted"),
    [
        ("1946 年", "zh", Kind.YEAR, "0000 年"),
        ("四次", "zh", Kind.NUMBER, "n次"),
        ("卡万·肖特", "zh", Kind.PERSON, "X·X"),
        ("1530'da", "tr", Kind.YEAR, "0000'da"),
        ("iki kez", "tr", Kind.NUMBER, "n kez"),
        ("17.786.419", "de", Kind.NUMBER, "00.000.000"),
        ("8 de febrero de 2007", "es", Kind.DATE, "0 de x de 0000"),
        ("la NBA", "es", Kind.NAME, "la XX"),
        ("Universidad de París", "es", Kind.NAME, "X de X"),
        ("five million", "en", Kind.NUMBER, "n million"),
    ],
)
def test_the_shape_of_an_answer(answer, language, kind, wanted):
    assert shape(answer, language, kind) == wanted


@pytest.mark.parametrize(
    ("answer", "text", "found"),
    [
        ("one", "someone has one, One.", [12, 17]),
        ("5", "1956, 8.5, 5.5, 5.", [16]),
        ("24", "24 次和 24次", [0, 6]),
        ("两次", "他两次来", [1]),
        ("Kenya", "Kenya's Kenyans", [0]),
        ("P (a)", "P (a) or P (a)b", [0, 9]),
    ],
)
def test_an_answer_stands_for_itself_only(answer, text, found):
    assert occurrences(answer, text) == found


def test_replacing_takes_the_other_answer_literally():
    assert replaced("one", "one, someone, ONE", r"\1") == r"\1, someone, \1"


def test_of_a_persons_name_no_part_may_remain():
    assert remains("Anna Keller", "Keller won.", Kind.PERSON)
    assert not remains("Anna Keller", "Kellermann won.", Kind.PERSON)
    assert not remains("Hall of Clocks", "The Hall is old.", Kind.NAME)
    assert remains("Newton", "Newtons Apfel", Kind.NAME)
    assert not remains("one", "someone", Kind.NUMBER)


@pytest.mark.parametrize("other", OTHERS)
def test_real_paragraphs_are_changed_where_they_should_be(other):
    if not REAL.exists():
        pytest.skip("the parallel paragraphs are not on this machine")
    rows = read_parallel(REAL)
    by_name = {one.name: one for one in rows}
    pairs = list(twins(rows, other))
    assert len(pairs) > 600
    for one in pairs:
        _, name, _, changed = one.key.split("|")
        source = by_name[name]
        for language, text in zip(one.languages, one.texts, strict=True):
            if changed == f"changed:{language}":
                answer = source.answers[language]
                assert occurrences(answer, text) == []
                assert text[: source.starts[language]] == source.contexts[language][: source.starts[language]] or (
                    occurrences(answer, source.contexts[language])[0] < source.starts[language]
                )
            else:
                assert text == source.contexts[language]


def test_a_foreign_paragraph_is_of_another_article_in_either_language(parallel):
    pairs = list(foreign(parallel, "de"))
    assert {one.label for one in pairs} == {Label.UNDETERMINED}
    assert {one.languages for one in pairs} == {("en", "de"), ("de", "en")}
    by_name = {one.name: one for one in parallel}
    for one in pairs:
        own = by_name[one.key.split("|")[1]]
        texts = dict(zip(one.languages, one.texts, strict=True))
        mine = [language for language, text in texts.items() if text == own.contexts[language]]
        assert mine == [one.languages[0]]
    assert pairs == list(foreign(parallel, "de"))
