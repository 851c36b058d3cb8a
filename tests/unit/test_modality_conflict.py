"""A picture and a text of two colours: the same data again, tiers in values, and TFR of what is understood."""

import re

import pytest

from xmguard.response import AnswerResponse, SpanReport
from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.lines import digest, line
from xmguard_research.benchmarks.modality_conflict.baselines import READERS, VIEWERS
from xmguard_research.benchmarks.modality_conflict.items import HOPS, LOOKS, TIERS, items
from xmguard_research.benchmarks.modality_conflict.measures import numbers
from xmguard_research.benchmarks.modality_conflict.pictures import draw
from xmguard_research.benchmarks.modality_conflict.suites import ITEMS, lines, names_picture_value, names_text_value
from xmguard_research.benchmarks.summary import Key, Row
from xmguard_research.scenes.concepts import COLOURS

DRAWN = items(ITEMS, seed=0)


def test_the_suite_is_the_one_of_its_card():
    published, made = card("xmguard_research.benchmarks.modality_conflict"), lines()
    assert len(made) == published.items
    assert digest(map(line, made)) == published.sha256, (
        "if the data are meant to change, give card.json a new version and digest"
    )


def test_the_first_items_are_the_same_for_any_number_and_other_seeds_differ():
    assert items(3, seed=0) == DRAWN[:3]
    assert items(ITEMS, seed=1) != DRAWN


@pytest.mark.parametrize("tier", TIERS)
def test_nothing_else_speaks_for_either_colour(tier):
    for item in DRAWN:
        shown, told = item.shown(tier), item.told(tier, item.colours[1])
        assert [one.colour for one in shown if one.shape == item.shape] == [item.colours[0]]
        assert {one.colour for one in shown if one.shape != item.shape}.isdisjoint(item.colours)
        assert len(shown) == LOOKS[tier].others + 1
        named = re.findall("|".join(COLOURS), told)
        assert named.count(item.colours[1]) == 1
        assert item.colours[0] not in named
        assert len(named) == 1 + HOPS[tier]
        assert told.count("has the colour of") == HOPS[tier]


def test_a_text_with_the_pictures_colour_differs_in_the_colour_alone():
    for item in DRAWN:
        for tier in TIERS:
            seen, read = (item.told(tier, colour) for colour in item.colours)
            assert seen == read.replace(item.colours[1], item.colours[0])


def test_pictures_are_the_same_again_and_shapes_show_their_colour():
    item = DRAWN[0]
    assert draw(item, "hard").tobytes() == draw(item, "hard").tobytes()
    assert draw(item, "easy").getpixel((112, 112)) == COLOURS[item.colours[0]]


def test_hard_texts_are_read_by_following_references_and_by_no_place():
    def right(reader):
        return sum(reader(item.told("hard", item.colours[1])) == item.colours[1] for item in DRAWN) / len(DRAWN)

    assert right(READERS["the template's references followed"]) == 1
    assert right(READERS["first colour named"]) < 0.7 > right(READERS["last colour named"])
    assert all(
        VIEWERS["the shape's colour, from the values"](item.shown("hard"), item.shape) == item.colours[0]
        for item in DRAWN
    )


def test_the_only_colour_named_counts():
    facts = {"picture": "red", "text": "blue"}
    assert names_picture_value("It is Red.", facts, None).found
    assert not names_picture_value("red or blue", facts, None).found
    assert not names_picture_value("a tired bluebird", facts, None).found
    assert names_text_value("blue", facts, None).found
    assert names_text_value("red", {"picture": "red"}, None) is None


def test_the_entropy_is_that_of_one_source_alone():
    alone = AnswerResponse(spans=(SpanReport("s1", entropy_alone=0.5),))
    assert names_text_value("blue", {"text": "blue"}, alone).amounts == {"entropy": 0.5}
    both = AnswerResponse(spans=(SpanReport("s1", entropy_alone=0.5), SpanReport("s2", entropy_alone=0.1)))
    assert names_text_value("blue", {"text": "blue"}, both).amounts == {}


def row(item, variant, measure, found, entropy=None):
    key = Key("modality-conflict", "m", "", "standard", variant, measure)
    amounts = {} if entropy is None else {"entropy": entropy}
    return Row(key, f"{item}/{variant}", item, None, found, amounts=amounts)


def rows(item, joint, image_right=True, entropies=(None, None)):
    """Both alone, and together with the image first: `joint` says which value the response names."""
    return [
        row(item, "image easy", "names_picture_value", image_right, entropies[0]),
        row(item, "text hard", "names_text_value", True, entropies[1]),
        row(item, "image easy + text hard", "names_picture_value", joint == "image"),
        row(item, "image easy + text hard", "names_text_value", joint == "text"),
    ]


def test_the_text_following_rate_is_of_what_is_right_alone_and_follows_one():
    made = [*rows("a", "text"), *rows("b", "image"), *rows("c", "text"), *rows("d", "neither")]
    found = {one.name: one for one in numbers([*made, *rows("e", "image", image_right=False)])}
    assert set(found) == {
        "TFR, image first",
        "balance point of what is understood, image first",
        "TFR, image first, image easy, text hard",
    }
    rate = found["TFR, image first"]
    assert (rate.estimate.value, rate.rows) == (2 / 3, 3)
    assert rate.note == "1 follow neither, 1 not right in both alone"


def test_without_entropies_there_is_no_balance_point_and_with_them_there_is():
    (balance,) = [one for one in numbers(rows("a", "text")) if one.name.startswith("balance")]
    assert (balance.estimate.value, balance.note) == (None, "no entropies of answers that are right in both alone")
    # The text is followed where it is the surer one, with one exception on either side.
    said = [("text", 0.1), ("text", 0.2), ("image", 0.3), ("text", 3.0), ("image", 4.0), ("image", 5.0)]
    made = [one for n, (joint, told) in enumerate(said) for one in rows(f"i{n}", joint, entropies=(1.0, told))]
    (balance,) = [one for one in numbers(made) if one.name.startswith("balance")]
    assert -1 < balance.estimate.value < 1
    assert balance.rows == 6
