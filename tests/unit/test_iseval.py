"""Flawed premises: the same data again, one flaw at a time, and rules that see it named."""

import pytest

from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.derived import numbers as derived
from xmguard_research.benchmarks.iseval import baselines, flaws
from xmguard_research.benchmarks.iseval.measures import numbers
from xmguard_research.benchmarks.iseval.problems import CATEGORIES, items
from xmguard_research.benchmarks.iseval.suites import (
    PER_CATEGORY,
    flaw_in_sound,
    goes_by_picture,
    goes_by_text,
    lines,
    names_flaw,
)
from xmguard_research.benchmarks.lines import digest, line
from xmguard_research.benchmarks.suites import with_suites
from xmguard_research.benchmarks.summary import Key, Row

DRAWN = items(PER_CATEGORY, seed=0)


def test_the_suite_is_the_one_of_its_card():
    published, made = card("xmguard_research.benchmarks.iseval"), lines()
    assert len(made) == published.items
    assert digest(map(line, made)) == published.sha256, (
        "if the data are meant to change, give card.json a new version and digest"
    )


def test_another_seed_gives_other_problems_and_more_items_begin_alike():
    ids = {(item.id, item.text(flawed=True, pictured=False)) for item in items(2, seed=0)}
    assert ids <= {(item.id, item.text(flawed=True, pictured=False)) for item in DRAWN}
    assert ids.isdisjoint((item.id, item.text(flawed=True, pictured=False)) for item in items(2, seed=1))


def test_every_category_has_every_kind_of_sum_and_a_flaw_that_its_sound_form_lacks():
    assert {(item.category, item.family) for item in DRAWN} == {
        (category, family) for category in CATEGORIES for family in ("card", "tag", "sheet")
    }
    for item in DRAWN:
        for pictured in (False, True):
            assert item.text(flawed=True, pictured=pictured) != item.text(flawed=False, pictured=pictured)


def test_what_follows_from_picture_and_text_are_numbers_of_neither():
    for item in (one for one in DRAWN if one.category == "exclusive"):
        by_picture, by_text = item.words.answers
        assert by_picture != by_text
        for said in (item.text(flawed=True, pictured=True), *item.scene.values.values()):
            assert not {str(by_picture), str(by_text)} & set(said.replace("€", " ").replace(".", " ").split()), item.id


def test_a_problem_with_a_picture_leaves_its_first_fact_to_the_picture():
    for item in (one for one in DRAWN if one.category in ("lacking", "wording", "unclear")):
        shown = item.scene.values["price" if item.family == "tag" else "count"]
        assert f"{shown} " not in item.text(flawed=False, pictured=True).split(". ")[0] + " "


def test_the_rules_are_as_good_as_the_card_says():
    found = flaws.measured()
    assert (found.found, found.missed, found.false_alarms, found.quiet) == (30, 5, 0, 28)


@pytest.mark.parametrize(
    ("response", "named"),
    [
        ("Nothing is missing.", False),
        ("I checked if anything is missing: it is 7.", False),
        ("The number of cards is missing.", True),
    ],
)
def test_a_denial_or_a_condition_names_no_flaw(response, named):
    facts = {"category": "lacking", "question": "How many?", "term": "radius", "unit": "hours?", "flawed": True}
    assert names_flaw(response, facts, None).found is named
    assert flaw_in_sound(response, facts, None) is None
    sound = {**facts, "flawed": False}
    assert flaw_in_sound(response, sound, None).found is named
    assert names_flaw(response, sound, None) is None


def test_whose_number_counts_is_the_one_that_stands_alone():
    facts = {"answers": [3, 7]}
    assert goes_by_picture("Three cows.", facts, None).found
    assert not goes_by_text("Three cows.", facts, None).found
    assert not goes_by_picture("3 or 7 cows", facts, None).found
    assert not goes_by_picture("13 cows, or 3.5", facts, None).found
    assert goes_by_picture("3", {"answers": []}, None) is None


def row(item, variant, prompt, measure, found):
    return Row(Key("iseval", "m", "", prompt, variant, measure), f"{item}/{variant}/{prompt}", item, None, found)


def test_the_numbers_are_shares_of_their_own_prompt_and_form():
    rows = [
        row("a", "lacking text", "spontaneous", "names_flaw", False),
        row("b", "lacking text", "spontaneous", "names_flaw", True),
        row("a", "lacking text", "guided", "names_flaw", True),
        row("a", "lacking text", "guided", "flaw_in_sound", False),
        row("c", "exclusive picture", "spontaneous", "goes_by_picture", False),
        row("c", "exclusive picture", "spontaneous", "goes_by_text", True),
        row("d", "exclusive picture", "spontaneous", "goes_by_picture", False),
        row("d", "exclusive picture", "spontaneous", "goes_by_text", False),
        row("d", "exclusive picture", "guided", "goes_by_text", True),
    ]
    said = {one.name: one.estimate.value for one in numbers(rows)}
    assert said == {
        "SEDR": 0.5,
        "GEDR": 1.0,
        "GEDR, false alarms": 0.0,
        "SEDR, lacking": 0.5,
        "GEDR, lacking": 1.0,
        "MTPS, image": 0.0,
        "MTPS, text": 0.5,
        "MTPS, no preference": 0.5,
    }
    ((run, own),) = derived([*rows, row("e", "lacking text", "guided", "names_flaw", None)], with_suites()).items()
    assert run == ("iseval", "m", "")
    assert {one.name: one.rows for one in own}["GEDR"] == 1


def test_the_card_shows_what_the_templates_give_away():
    _, *rows = baselines.table(DRAWN)
    said = {name: shares for name, *shares in rows}
    assert said["the templates' words and the picture's number"] == ["1.00"] * 7 + ["0.00"]
    assert said["the templates' words"][0] == "0.50"
