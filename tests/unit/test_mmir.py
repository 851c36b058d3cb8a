"""Pages: the same data again, one relation broken on a page and none on its control, and scores of what is named."""

import pytest

from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.lines import digest, line
from xmguard_research.benchmarks.mmir.baselines import table
from xmguard_research.benchmarks.mmir.measures import numbers
from xmguard_research.benchmarks.mmir.page import CATEGORIES, items
from xmguard_research.benchmarks.mmir.suites import (
    KINDS,
    PER_RELATION,
    chooses_both,
    leaves_alone,
    lines,
    names_both,
    numbers_in,
)
from xmguard_research.benchmarks.summary import Key, Row

MANY = items(KINDS, 25, seed=3)


def test_the_suite_is_the_one_of_its_card():
    published, made = card("xmguard_research.benchmarks.mmir"), lines()
    assert len(made) == published.items
    assert digest(map(line, made)) == published.sha256, (
        "if the data are meant to change, give card.json a new version and digest"
    )


def test_every_kind_of_page_has_every_category():
    for kind in KINDS:
        assert {one.category for one in kind.relations} == set(CATEGORIES)


def test_one_relation_is_broken_on_a_page_and_none_on_its_control():
    for item in MANY:
        relations = item.control.kind.relations
        assert [one for one in relations if not one.holds(item.control.values)] == []
        assert [one for one in relations if not one.holds(item.inconsistent.values)] == [item.relation]


def test_a_page_differs_from_its_control_in_one_element_of_the_pair():
    for item in MANY:
        pairs = zip(item.inconsistent.elements, item.control.elements, strict=True)
        changed = {one.name for one, other in pairs if (one.says, one.shows) != (other.says, other.shows)}
        assert len(changed) == 1
        assert changed <= {item.relation.first, item.relation.second}


def test_elements_do_not_overlap_and_stay_on_the_page():
    for item in items(KINDS, 1, seed=0):
        boxes = [one.box for one in item.control.elements]
        assert all(0 <= left < right <= 224 and 0 <= top < bottom <= 224 for left, top, right, bottom in boxes)
        for index, one in enumerate(boxes):
            for other in boxes[:index]:
                assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1], item.id


def test_what_written_elements_say_holds_a_cue_of_theirs():
    for item in MANY:
        page = item.inconsistent
        cues = item.relation.cues(page.values)
        for name, words in zip((item.relation.first, item.relation.second), cues, strict=True):
            element = page.elements[page.number(name) - 1]
            if element.drawn in ("text", "banner"):
                assert any(word.lower() in element.says.lower() for word in words), (item.id, name)


FACTS = {"cues": [["belden"], ["corvin"]], "pair": [3, 11], "count": 13}


@pytest.mark.parametrize(
    ("response", "named"),
    [
        ("It is made by Belden, but the review thanks Corvin.", True),
        ("The maker is Belden. The review says Corvin.", True),
        ("The maker is Belden. All is well. Corvin is thanked.", False),
        ("The maker is Belden.", False),
        ("Beldens and Corvin", False),
    ],
)
def test_both_elements_are_named_close_to_each_other(response, named):
    assert names_both(response, FACTS, None).found is named


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("3 and 11", 1.0),
        ("Elements 11, 3: the pack of 4 costs more.", 1.0),
        ("3", 0.5),
        ("3 and 5", 0.5),
        ("5 and 6", 0.0),
        ("3, 5, 11 and 12, or all", 0.5),
        ("Perhaps 3, or 5, or 11.", 0.0),
        ("none", 0.0),
        ("", 0.0),
    ],
)
def test_a_choice_scores_by_the_numbers_it_names(response, score):
    found = chooses_both(response, FACTS, None)
    assert found.amounts == {"score": score}
    assert found.found is (score == 1.0)


def test_a_control_is_right_if_none_is_said():
    control = {"cues": [], "pair": [], "count": 13}
    assert leaves_alone("None.", control, None).found
    assert not leaves_alone("3 and 11", control, None).found
    assert not leaves_alone("I like it.", control, None).found
    assert chooses_both("None.", control, None) is None
    assert leaves_alone("None.", FACTS, None) is None
    assert names_both("Belden and Corvin", control, None) is None


def test_prices_and_times_are_no_numbers_of_elements():
    assert numbers_in("It begins at 13:00 and costs €12, or 9.50.", 15) == frozenset()
    assert numbers_in("The saving, 6, is wrong.", 15) == {6}


def row(item, variant, measure, found, score=None):
    key = Key("mmir", "m", "", "choice", variant, measure)
    return Row(key, f"{item}/{variant}", item, None, found, amounts={} if score is None else {"score": score})


def test_numbers_are_of_inconsistent_pages_and_controls_stand_apart():
    rows = [
        row("a", "factual", "names_both", True),
        row("b", "identity", "names_both", False),
        row("a", "factual", "chooses_both", True, 1.0),
        row("b", "identity", "chooses_both", False, 0.5),
        row("a", "factual", "leaves_alone", False),
    ]
    assert {one.name: one.estimate.value for one in numbers(rows)} == {
        "open accuracy": 0.5,
        "open accuracy, factual": 1.0,
        "open accuracy, identity": 0.0,
        "choice score": 0.75,
        "choice score, factual": 1.0,
        "choice score, identity": 0.5,
        "choice, controls left alone": 0.0,
    }


def test_rules_that_know_the_templates_need_the_drawings_too():
    rows = {name: [float(one) for one in shares] for name, *shares in table(items(KINDS, PER_RELATION, seed=0))[1:]}
    assert set(rows["the templates' relations, in words and drawings"]) == {1.0}
    assert rows["the templates' relations, in the words alone"] == [0.67, 0.5, 1.0, 0.5, 0.75, 1.0]
