"""The order of training: everything once, lengths together, contexts together."""

from itertools import pairwise

from xmguard_research.mixing.ordering import LengthOrder

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
