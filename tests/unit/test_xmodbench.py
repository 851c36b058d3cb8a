"""Four directions of one question: the same data again, one value in common, and numbers over subtasks alike."""

from collections import Counter

import pytest

from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.lines import digest, line
from xmguard_research.benchmarks.summary import Key, Row
from xmguard_research.benchmarks.xmodbench.baselines import table
from xmguard_research.benchmarks.xmodbench.items import LETTERS, SUBTASKS, items
from xmguard_research.benchmarks.xmodbench.measures import numbers
from xmguard_research.benchmarks.xmodbench.suites import PER_SUBTASK, chosen, lines, right_option

DRAWN = items(PER_SUBTASK, seed=0)


def test_the_suite_is_the_one_of_its_card():
    published, made = card("xmguard_research.benchmarks.xmodbench"), lines()
    assert len(made) == published.items
    assert digest(map(line, made)) == published.sha256, (
        "if the data are meant to change, give card.json a new version and digest"
    )


def test_one_option_has_the_contexts_value_and_shares_nothing_else_with_it():
    assert Counter(item.right for item in DRAWN) == dict.fromkeys(range(len(LETTERS)), len(DRAWN) // len(LETTERS))
    for item in DRAWN:
        slot = SUBTASKS[item.subtask].slot
        context, right = item.context.values, item.options[item.right].values
        assert len(set(item.values)) == len(LETTERS)
        assert {name for name in context if right.get(name) == context[name]} == {slot}
        assert {scene.split for scene in (item.context, *item.options)} == {"test"}
        assert len(set(item.option_texts)) == len(LETTERS)


def test_the_rule_that_knows_the_values_is_right_and_general_likeness_is_not():
    rows = {name: [float(one) for one in shares] for name, *shares in table(DRAWN)[1:]}
    assert set(rows["the values, any direction"]) == {1.0}
    assert max(rows["most in common beside the asked, any direction"]) <= 0.25


@pytest.mark.parametrize(
    ("response", "option"),
    [
        ("B", 1),
        ("(c)", 2),
        ("Option D, because it shows three.", 3),
        ("The right answer is A.", 0),
        ("It is the second one (B).", 1),
        ("B\n\nThe shapes are the same.", 1),
        ("A\nThe shapes are the same.", 0),
        ("B Because it fits", 1),
        ("A is the right one.", 0),
        ("Answer: B", 1),
        ("I choose Option B", 1),
        ("The answer is: Option B", 1),
        ("The right option is **B**.", 1),
        ("the answer is a dog", 0),
        ("The answer is A cat.", 2),
        ("A door is red", None),
        ("a shape", None),
        ("B or C", None),
        ("The answer is A or B.", None),
        ("a dog", 0),
        ("A cat", 2),
        ("A dog and a cat", None),
        ("The options A and B", None),
        ("option A or option B", None),
        ("", None),
        ("3.5", None),
    ],
)
def test_a_choice_is_a_letter_or_one_value(response, option):
    assert chosen(response, ["dog", "horse", "cat", "3"]) == option


def test_a_response_without_a_choice_is_wrong_and_counted():
    found = right_option("I cannot say.", {"right": 0, "values": ["dog", "cat", "cow", "owl"]}, None)
    assert not found.found
    assert found.amounts == {"chose": 0.0}


def row(item, direction, right, subtask="count"):
    key = Key("xmodbench", "m", "", "standard", f"{direction} {subtask}", "right_option")
    return Row(key, f"{item}/{direction}", item, None, right, amounts={"chose": 1.0})


def test_numbers_weigh_subtasks_alike_and_gaps_have_a_sign():
    directions = ("text-text", "text-image", "image-text", "image-image")
    counts = [row(item, one, one.endswith("image")) for item in ("a", "b", "c") for one in directions]
    colours = [row("d", one, one == "text-text", "colour") for one in directions]
    said = {one.name: one.estimate.value for one in numbers([*counts, *colours])}
    assert said == {
        "accuracy, text to text": 0.5,
        "accuracy, text to image": 0.5,
        "accuracy, image to text": 0.0,
        "accuracy, image to image": 0.5,
        "directional gap, text to image minus image to text": 0.5,
        "disparity of image against text, text on the other side": -0.5,
        "disparity of image against text, image on the other side": 0.5,
    }


def test_a_direction_that_lacks_a_subtask_gives_no_numbers():
    assert numbers([row("a", "text-text", True)]) == []
    assert numbers([]) == []
