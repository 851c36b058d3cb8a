"""What the pair probe learns from."""

from collections import Counter

import pytest

from xmguard_research.probe.examples import LABELS, statement_examples
from xmguard_research.verdict.splits import fold


def item(n, answers=("1990", "1990")):
    return {
        "id": f"item {n}",
        "question": f"When was {n}?",
        "support": [f"s{n}a", f"s{n}b"],
        "contradict": [f"c{n}a", f"c{n}b"],
        "changed_answer": list(answers),
    }


ITEMS = [item(n, ("1990", "1990 ") if n % 2 else ("1990", "1991")) for n in range(60)]


def test_every_pair_is_there_in_both_orders():
    found = Counter((one.texts, LABELS[one.label], one.kind) for one in statement_examples(ITEMS))
    assert found == Counter((texts[::-1], label, kind) for texts, label, kind in found.elements())
    assert set(found.values()) == {1}


def test_both_authors_statements_are_paired_across_and_each_authors_own_against_each_other():
    of_one = [one for one in statement_examples(ITEMS) if one.item == "item 1" and one.kind == "pair"]
    assert {(*sorted(one.texts), LABELS[one.label]) for one in of_one if len(set(one.texts)) == 2} == {
        ("c1b", "s1a", "conflict"),
        ("c1a", "s1b", "conflict"),
        ("c1a", "s1a", "conflict"),
        ("c1b", "s1b", "conflict"),
        ("s1a", "s1b", "consistent"),
        ("c1a", "c1b", "consistent"),
    }
    assert {one.question for one in of_one} == {"When was 1?"}


def test_one_statement_of_every_item_is_paired_with_itself_and_agrees():
    same = [one for one in statement_examples(ITEMS) if len(set(one.texts)) == 1]
    assert [one.item for one in same] == [one["id"] for one in ITEMS]
    assert {LABELS[one.label] for one in same} == {"consistent"}


def test_changed_answers_that_differ_make_no_consistent_pair():
    of_one = [one for one in statement_examples(ITEMS) if one.item == "item 2" and LABELS[one.label] == "consistent"]
    assert {tuple(sorted(one.texts)) for one in of_one if len(set(one.texts)) == 2} == {("s2a", "s2b")}


def test_strangers_are_of_the_same_fold_and_nothing_of_a_fold_is_in_another():
    folds = {}
    owner = {text: one["id"] for one in ITEMS for text in (*one["support"], *one["contradict"])}
    for one in statement_examples(ITEMS):
        owners = {owner[text] for text in one.texts}
        if one.kind == "irrelevant":
            assert LABELS[one.label] == "unanswered"
            assert len(owners) == 2
            assert one.item in owners
        else:
            assert owners == {one.item}
        for text in one.texts:
            folds.setdefault(text, set()).add(fold(one.item))
    assert all(len(found) == 1 for found in folds.values())
    assert Counter(one.kind for one in statement_examples(ITEMS))["irrelevant"] == 2 * len(ITEMS)


def test_the_same_seed_makes_the_same_examples_and_keys_are_unique():
    examples = statement_examples(ITEMS)
    assert examples == statement_examples(ITEMS)
    assert examples != statement_examples(ITEMS, seed=1)
    assert len({one.key for one in examples}) == len(examples)


def test_an_item_that_is_alone_in_its_fold_is_named():
    with pytest.raises(ValueError, match="item 0 is alone in its fold"):
        statement_examples(ITEMS[:1])
