"""Pairs of statements: four-way, irrelevant, and of our own templates; folds, and the baselines without a model."""

import json
from collections import Counter

import pytest
import typer

from xmguard_research.verdict.baselines import (
    NEUTRAL,
    OVERLAP,
    PICTURE_ONLY,
    TEXT_ONLY,
    foreign_numbers,
    one_text,
    without_model,
    word_overlap,
)
from xmguard_research.verdict.irrelevant import irrelevant_pairs, is_irrelevant, with_conflicts
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.splits import FOLDS, fitting_fold, fold
from xmguard_research.verdict.statements import Item, four_way_pairs, read_items
from xmguard_research.verdict.template_pairs import TAUGHT_KINDS, template_pairs
from xmguard_research.verdict.templates import template_items
from xmguard_research.verdict.words import numbers, tokens

BUS = Item(
    "7",
    "What colour is the bus?",
    ("The bus is red.", "A red bus stands there."),
    ("The bus is blue.", "A blue bus stands there."),
    ("Blue", "blue "),
    answer="red",
)


def pair(first, second, question="What?", label=Label.CONFLICT, item="1"):
    return Pair(f"{item}{first}{second}", item, "y", question, (first, second), ("en", "en"), label)


def balance(pairs):
    """Each text at its place, by label."""
    return {
        label: Counter((place, one.item, one.texts[place]) for one in pairs if one.label is label for place in (0, 1))
        for label in (Label.CONFLICT, Label.CONSISTENT)
    }


# -- statements ------------------------------------------------------------------------------------------------------


def test_items_are_read_from_lines(tmp_path):
    row = {
        "id": 7,
        "question": BUS.question,
        "support": BUS.support,
        "contradict": BUS.contradict,
        "changed_answer": BUS.changed_answers,
        "answer": "red",
    }
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps(row) + "\n\n", encoding="utf-8")
    assert read_items(path) == [BUS]
    path.write_text(json.dumps(row) + "\n{", encoding="utf-8")
    with pytest.raises(typer.BadParameter, match="line 2"):
        read_items(path)


def test_every_statement_stands_as_often_in_a_conflict_as_in_a_consistent_pair():
    pairs = list(four_way_pairs([BUS]))
    assert [one.label for one in pairs] == [Label.CONFLICT, Label.CONFLICT, Label.CONSISTENT, Label.CONSISTENT]
    assert {one.texts for one in pairs if one.conflict} == {
        ("The bus is red.", "A blue bus stands there."),
        ("The bus is blue.", "A red bus stands there."),
    }
    assert balance(pairs)[Label.CONFLICT] == balance(pairs)[Label.CONSISTENT]
    assert len({one.key for one in pairs}) == 4


def test_items_whose_contradictions_differ_have_no_second_consistent_pair_and_are_left_out():
    differing = Item("8", BUS.question, BUS.support, BUS.contradict, ("blue", "green"))
    assert list(four_way_pairs([differing])) == []


# -- irrelevant ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "statement", "irrelevant"),
    [
        ("What colour is the old bus?", "The train leaves at nine.", True),
        ("What colour is the old bus?", "The bus leaves at nine.", True),
        ("What colour is the old bus?", "The old bus is red.", False),
        ("Is it sunny?", "The beach is sunny.", False),
        ("What is this?", "The train leaves at nine.", False),
    ],
)
def test_a_statement_is_irrelevant_if_it_shares_at_most_one_word_and_not_all(question, statement, irrelevant):
    assert is_irrelevant(question, statement) is irrelevant


def test_irrelevant_pairs_hold_foreign_statements_of_their_own_fold_at_both_places():
    items = {item.name: item for item in template_items()}
    pairs = list(irrelevant_pairs(list(items.values())))
    assert len(pairs) == 3 * len({one.item for one in pairs})
    assert len({one.item for one in pairs}) > 90
    lent = Counter()
    owner = {text: item.name for item in items.values() for text in (*item.support, *item.contradict)}
    for one in pairs:
        owners = [owner[text] for text in one.texts]
        wanted = {"own-foreign": (True, False), "foreign-own": (False, True), "foreign-foreign": (False, False)}
        assert tuple(name == one.item for name in owners) == wanted[one.key.split("|")[2]]
        assert owners[0] != owners[1]
        assert {fold(name) for name in owners} == {fold(one.item)}
        for place, (text, name) in enumerate(zip(one.texts, owners, strict=True)):
            assert text in (items[name].support[place], items[name].contradict[place])
            if name != one.item:
                assert is_irrelevant(one.question, text)
                lent[name, place] += 1
        assert one.label is Label.UNDETERMINED
        assert not one.conflict
    assert max(lent.values()) == 2, "nobody's statements are lent more often than others'"
    assert pairs == list(irrelevant_pairs(list(items.values())))
    assert pairs != list(irrelevant_pairs(list(items.values()), seed=1))


def test_an_item_without_irrelevant_neighbours_gives_no_pairs():
    assert list(irrelevant_pairs([BUS])) == []


def test_irrelevant_pairs_stand_next_to_conflicts_of_the_same_items():
    uneven = Item("8", BUS.question, BUS.support, BUS.contradict, ("blue", "green"))
    pairs = list(with_conflicts([*template_items(), uneven]))
    irrelevant, conflicts = ([one for one in pairs if one.conflict is wanted] for wanted in (False, True))
    assert {one.item for one in irrelevant} == {one.item for one in conflicts}
    assert "8" not in {one.item for one in pairs}
    assert 3 * len(conflicts) == 2 * len(irrelevant)
    assert {one.yardstick for one in pairs} == {"irrelevant"}
    assert len({one.key for one in pairs}) == len(pairs)


# -- templates -------------------------------------------------------------------------------------------------------


def test_templates_give_balanced_items_of_many_kinds():
    items = template_items()
    assert len({item.name for item in items}) == len({item.question for item in items}) == len(items) == 100
    assert len({item.name.split("-")[0] for item in items}) >= 12
    assert all(len({*item.support, *item.contradict}) == 4 for item in items)
    assert not [text for item in items for text in (*item.support, *item.contradict) if "{" in text or "|" in text]
    pairs = list(four_way_pairs(items, "templates"))
    assert len(pairs) == 400
    assert balance(pairs)[Label.CONFLICT] == balance(pairs)[Label.CONSISTENT]


def test_kinds_that_a_fit_learns_from_share_no_statement_with_the_yardstick_that_measures_it():
    pairs = template_pairs(100)
    texts, kinds = ({}, {})
    for pair in pairs:
        texts.setdefault(pair.yardstick, set()).update(pair.texts)
        kinds.setdefault(pair.yardstick, set()).add(pair.item.rsplit("-", 1)[0])
    assert kinds["templates-taught"] == TAUGHT_KINDS
    assert len(kinds["templates"]) == 15 - len(TAUGHT_KINDS)
    assert kinds["templates"].isdisjoint(TAUGHT_KINDS)
    assert texts["templates-taught"].isdisjoint(texts["templates"] | texts["templates-irrelevant"])
    assert texts["templates-irrelevant"]


def test_an_item_of_a_template_depends_on_seed_and_name_only():
    assert template_items(20) == template_items(50)[:20]
    assert template_items(20) != template_items(20, seed=1)
    with pytest.raises(ValueError, match="1 to 120"):
        template_items(1000)


# -- folds -----------------------------------------------------------------------------------------------------------


def test_folds_never_change():
    assert [fold(item) for item in ("112372001", "0-0", "count-3", "é")] == [2, 1, 4, 3]
    assert [fitting_fold(item) for item in ("112372001", "0-0")] == [0, 0]
    counts = Counter(fold(str(item)) for item in range(1000))
    assert set(counts) == set(range(FOLDS))
    assert min(counts.values()) > 150


# -- baselines -------------------------------------------------------------------------------------------------------


def test_word_overlap_is_larger_for_less_in_common_and_leaves_out_the_questions_words():
    assert word_overlap(pair("The bus is red.", "The bus is blue.", "What colour is the bus?")) == 0.0
    assert word_overlap(pair("red bus", "Blue Bus")) == pytest.approx(-1 / 3)
    assert word_overlap(pair("red bus", "red bus")) == -1.0


def test_scripts_without_spaces_are_compared_by_neighbouring_characters():
    assert tokens("北京市 in 2008年") == ["北京", "京市", "in", "2008", "年"]
    assert word_overlap(pair("北京市", "南京市")) == pytest.approx(-1 / 3)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("17,786,419 people", {"17786419"}),
        ("17.786.419 kişi", {"17786419"}),
        ("17 786 419 personas", {"17786419"}),
        ("in 2010 300 people", {"2010", "300"}),
        ("8.8 or 8,8", {"8.8"}),
        ("in 1946, 12% and 27-30％", {"1946", "12", "27", "30"}),
        ("１２ twelve", {"12"}),
        ("none", set()),
    ],
)
def test_numbers_are_read_as_they_are_written_anywhere(text, found):
    assert numbers(text) == found


def test_foreign_numbers_are_those_that_the_other_text_lacks():
    assert foreign_numbers(pair("at 5 in 1946", "in 1946")) == 0.25
    assert foreign_numbers(pair("at 5", "at six")) == 1.0
    assert foreign_numbers(pair("1,600 mm", "1600 mm")) == 0.0
    assert foreign_numbers(pair("five", "six")) is None


def test_one_text_tells_the_label_only_where_it_gives_it_away():
    told = [
        pair("a house", f"word {number} {'never' if number % 2 else 'always'}", item=str(number), label=label)
        for number in range(60)
        for label in [Label.CONFLICT if number % 2 else Label.CONSISTENT]
    ]
    scores = one_text(told, 1)
    by_label = {
        label: [score for score, one in zip(scores, told, strict=True) if one.label is label] for label in Label
    }
    assert min(by_label[Label.CONFLICT]) > max(by_label[Label.CONSISTENT])
    assert len({one_text(told, 0)[row] for row in range(60) if fitting_fold(str(row)) == 0}) == 1


def test_one_text_is_never_predicted_from_its_own_item():
    # A word of its own per item: whoever trains on the item knows its label.
    alone = [pair("x", f"word{n}", item=str(n), label=[Label.CONFLICT, Label.CONSISTENT][n % 2]) for n in range(60)]
    by_fold = {}
    for one, score in zip(alone, one_text(alone, 1), strict=True):
        by_fold.setdefault(fitting_fold(one.item), set()).add(score)
    assert [len(scores) for scores in by_fold.values()] == [1] * FOLDS


def test_one_text_is_missing_where_there_is_nothing_to_learn():
    assert one_text([pair("a", "b", item=str(number)) for number in range(10)], 0) == [None] * 10


def test_on_balanced_pairs_no_single_text_tells_anything():
    pairs = list(four_way_pairs(template_items()))
    found = without_model(pairs)
    assert set(found) == set(NEUTRAL) - {TEXT_ONLY, PICTURE_ONLY}
    for name in ("first text only", "second text only"):
        sums = dict.fromkeys(Label, 0.0)
        for one, score in zip(pairs, found[name], strict=True):
            sums[one.label] += score
        assert sums[Label.CONFLICT] == pytest.approx(sums[Label.CONSISTENT])
    assert len(found[OVERLAP]) == len(pairs)
