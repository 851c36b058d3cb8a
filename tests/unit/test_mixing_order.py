"""The order of training: everything once, lengths together, contexts together."""

from itertools import pairwise

from xmguard_research.mixing.encoding import Encoded
from xmguard_research.mixing.ordering import LengthOrder
from xmguard_research.mixing.pictures import Placed
from xmguard_research.mixing.recipe import Train
from xmguard_research.mixing.rows import Rows, context

LENGTHS = [(37 * index) % 101 + 1 for index in range(203)]


def test_every_instance_comes_once_in_an_order_that_the_seed_decides():
    order = list(LengthOrder(LENGTHS, 8, seed=1))
    assert sorted(order) == list(range(len(LENGTHS)))
    assert order == list(LengthOrder(LENGTHS, 8, seed=1))
    assert order != list(LengthOrder(LENGTHS, 8, seed=2))


def test_little_is_padded_and_the_passes_do_not_go_from_long_to_short():
    order = list(LengthOrder(LENGTHS, 8, seed=1))
    passes = [[LENGTHS[index] for index in order[at : at + 8]] for at in range(0, len(order), 8)]
    padded = sum(max(one) * len(one) for one in passes)
    assert padded < 1.1 * sum(LENGTHS)
    longest = [max(one) for one in passes[:16]]
    assert longest != sorted(longest, reverse=True)


def test_instances_of_one_context_follow_each_other():
    contexts = [index % 60 for index in range(len(LENGTHS))]
    order = list(LengthOrder(LENGTHS, 8, seed=1, together=contexts))
    assert sorted(order) == list(range(len(LENGTHS)))
    seen = [contexts[index] for index in order]
    changes = sum(before != after for before, after in pairwise(seen)) + 1
    assert changes < 60 * 1.5  # passes end within a context, and windows do


def test_a_context_of_more_than_a_pass_neither_pads_nor_keeps_the_order_of_the_file():
    order = list(LengthOrder(LENGTHS, 8, seed=1, together=["one"] * len(LENGTHS)))
    assert sorted(order) == list(range(len(LENGTHS)))
    passes = [[LENGTHS[index] for index in order[at : at + 8]] for at in range(0, len(order), 8)]
    assert sum(max(one) * len(one) for one in passes) < 1.1 * sum(LENGTHS)
    assert [max(one) for one in passes] != sorted(max(one) for one in passes)


def test_instances_without_a_key_are_ordered_as_if_there_were_none():
    assert list(LengthOrder(LENGTHS, 8, 1, [None] * len(LENGTHS))) == list(LengthOrder(LENGTHS, 8, 1))


def asked(*parts):
    content = [{"type": "text", "text": part} for part in parts]
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": []}]}


def test_a_context_is_shared_by_those_of_its_pictures_and_never_by_those_that_have_none():
    shown, other = (Encoded((1, 2, 3, 4), (range(3, 4),), 2, (Placed(name, 0),)) for name in ("a.png", "b.png"))
    told = asked("Sources:", "What?")
    assert context(told, shown) == context(told, shown) is not None
    assert context(told, shown) != context(told, other)
    assert context(asked("What?"), shown) is None


def test_the_last_pass_of_several_processes_is_filled_with_rows_without_a_target():
    rows = Rows(tuple(Encoded(tuple(range(3 + index)), (range(2, 3),), 1) for index in range(5)))
    assert (rows.missing(4, 1), rows.missing(4, 2)) == (0, 3)
    order = rows.order(Train(), 4, blank=3)
    assert sorted(list(order)[:5]) == list(range(5))
    assert list(order)[5:] == [5, 6, 7]
    made = rows.dataset(3)
    assert [sum(label >= 0 for label in row["labels"]) for row in made] == [1] * 5 + [0] * 3
    assert rows.amounts(order, 4)[-1].trained == 5
