"""Draws and conversations: what is in them, how often, and that strategies share it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.unit.mixing_recipes import item
from xmguard.errors import InvalidRequest
from xmguard_research.mixing.generators import GENERATORS
from xmguard_research.mixing.instances import draw, hold_out, joined, mix
from xmguard_research.mixing.items import Image, Item, Message
from xmguard_research.mixing.items import item as read_item


def sources(**counts: int) -> dict[str, list[Item]]:
    return {name: [item(name, index) for index in range(count)] for name, count in counts.items()}


def cost(one: Item) -> int:
    return 10


def mixed(items: dict[str, list[Item]], strategy: str = "instance", size: int = 2, **told):
    return mix(
        items, strategy=strategy, size=size, **{"turns": "multi", "shuffle": True, "seed": 0, "name": "t", **told}
    )


def combinations(instances) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sorted(one.modality for one in instance.items)) for instance in instances)


def test_every_source_gives_the_same_number_of_items_within_the_budget():
    drawn = draw(sources(a=50, b=50), {"a": 1, "b": 1}, cost, 415, 0)
    assert {name: len(some.items) for name, some in drawn.items()} == {"a": 20, "b": 20}
    assert sum(some.tokens for some in drawn.values()) == 400


def test_weights_are_shares():
    drawn = draw(sources(a=50, b=50, c=50), {"a": 3, "b": 1, "c": 0.5}, cost, 450, 0)
    assert {name: len(some.items) for name, some in drawn.items()} == {"a": 30, "b": 10, "c": 5}


def test_no_item_comes_again_before_all_have_come():
    drawn = draw(sources(a=7), {"a": 1}, cost, 200, 0)["a"]
    assert len(drawn.items) == 20
    assert drawn.passes == pytest.approx(20 / 7)
    names = [one.id for one in drawn.items]
    first, second = names[:7], names[7:14]
    assert sorted(first) == sorted(second)
    assert len(set(first)) == 7
    assert first != second


def test_the_draw_is_that_of_its_seed():
    def names(seed: int) -> list[str]:
        return [one.id for one in draw(sources(a=30), {"a": 1}, cost, 200, seed)["a"].items]

    assert names(1) == names(1)
    assert names(1) != names(2)


def test_another_source_does_not_move_the_order_of_this_one():
    alone = draw(sources(a=30), {"a": 1}, cost, 200, 0)["a"]
    beside = draw(sources(a=30, b=30), {"a": 1, "b": 1}, cost, 400, 0)["a"]
    assert alone.items == beside.items


def test_a_budget_that_is_too_small_for_every_source_is_refused():
    with pytest.raises(InvalidRequest, match="does not reach for an item of c"):
        draw(sources(a=50, c=50), {"a": 1, "c": 0.1}, cost, 50, 0)


@pytest.mark.parametrize("strategy", ["instance", "dataset"])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("turns", ["multi", "single"])
def test_every_item_is_in_one_instance_whatever_the_strategy(strategy: str, size: int, turns: str):
    items = sources(a=11, b=11, c=8)
    instances = mixed(items, strategy, size, turns=turns)
    there = Counter(one.id for instance in instances for one in instance.items)
    assert there == Counter(one.id for some in items.values() for one in some)
    assert {instance.id for instance in instances} == {f"t-{index:06d}" for index in range(1, len(instances) + 1)}


def test_instances_hold_different_modalities_and_every_pair_as_often():
    instances = mixed(sources(a=20, b=20, c=20))
    assert combinations(instances) == {("a", "b"): 10, ("a", "c"): 10, ("b", "c"): 10}


def test_triples_of_four_modalities_are_as_often():
    instances = mixed(sources(a=12, b=12, c=12, d=12), size=3)
    assert set(combinations(instances).values()) == {4}


def test_what_is_left_over_is_in_shorter_instances():
    instances = mixed(sources(a=5, b=5, c=5))
    assert sorted(Counter(len(instance.items) for instance in instances).items()) == [(1, 1), (2, 7)]
    assert (
        max(combinations(instances).values()) - min(combinations(instances)[p] for p in (("a", "b"), ("a", "c"))) <= 1
    )


def test_sources_of_one_modality_never_share_an_instance():
    items = {
        "a": [item("a", index, modality="en") for index in range(10)],
        "b": [item("b", index, modality="en") for index in range(10)],
        "c": [item("c", index, modality="es") for index in range(20)],
    }
    instances = mixed(items)
    assert combinations(instances) == {("en", "es"): 20}
    # Both are in the first half of the file as in the second.
    first = Counter(one.source for instance in instances[:10] for one in instance.items)
    assert first["a"] > 1
    assert first["b"] > 1


def test_the_dataset_strategy_joins_items_of_one_source():
    instances = mixed(sources(a=10, b=10), "dataset")
    assert all(len({one.source for one in instance.items}) == 1 for instance in instances)
    assert [len(instance.items) for instance in instances] == [2] * 10


def test_no_item_is_twice_in_one_instance():
    there = sources(a=3)["a"]
    instances = mixed({"a": [*there, *reversed(there)]}, "dataset", 2)
    assert len(instances) == 3
    assert all(len({one.id for one in instance.items}) == len(instance.items) for instance in instances)


def test_order_is_any_or_that_of_the_sources():
    ordered = mixed(sources(a=20, b=20), shuffle=False)
    assert {tuple(one.source for one in instance.items) for instance in ordered} == {("a", "b")}
    first = Counter(instance.items[0].source for instance in mixed(sources(a=40, b=40)))
    assert set(first) == {"a", "b"}
    assert min(first.values()) > 5
    assert mixed(sources(a=20, b=20)) == mixed(sources(a=20, b=20))
    assert mixed(sources(a=20, b=20)) != mixed(sources(a=20, b=20), seed=1)


def test_instances_of_every_source_are_all_over_the_file():
    kinds = [instance.items[0].source for instance in mixed(sources(a=40, b=40), "dataset")]
    assert sum(before != after for before, after in pairwise(kinds)) > 10


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_left_over_that_could_be_paired(seed: int):
    instances = mixed(sources(a=2, b=2, c=2, d=2), seed=seed)
    assert [len(instance.items) for instance in instances] == [2] * 4


def test_multi_keeps_every_turn_of_every_item():
    messages = joined([item("a", 0, turns=2), item("b", 0)], "multi")
    assert [message.role for message in messages] == ["user", "assistant"] * 3
    assert [message.content for message in messages[::2]] == [("a0 asks 0",), ("a0 asks 1",), ("b0 asks 0",)]


def test_single_numbers_contents_and_answers_and_keeps_them_as_they_are():
    asked = ("Read. ", " a text\n", "\nWhat?")
    one = Item("x", "x", "x", (Message("user", asked), Message("assistant", ("It ", "is x."))), "x:1", {})
    user, reply = joined([one, item("b", 0)], "single")
    assert user.content == ("1. Read. ", " a text\n", "\nWhat?", "\n\n2. b0 asks 0")
    assert reply.content == ("1. It is x.\n\n2. b0 says 0",)


def test_single_puts_the_number_before_a_picture():
    picture = Image("p.png", bytes)
    one = Item("x", "x", "x", (Message("user", (picture, "What?")), Message("assistant", ("A cat.",))), "x:1", {})
    user, _ = joined([item("b", 0), one], "single")
    assert user.content == ("1. b0 asks 0", "\n\n2. ", picture, "What?")


def test_single_joins_turn_by_turn_and_an_item_keeps_its_number():
    messages = joined([item("a", 0), item("b", 0, turns=2)], "single")
    assert [message.role for message in messages] == ["user", "assistant"] * 2
    assert messages[2].content == ("2. b0 asks 1",)
    assert messages[3].content == ("2. b0 says 1",)


def test_a_shared_system_message_stands_once():
    messages = joined([item("a", 0, system="Be brief."), item("b", 0, system="Be brief.")], "multi")
    assert [message.role for message in messages] == ["system", *["user", "assistant"] * 2]


@pytest.mark.parametrize("other", ["Be long.", ""])
def test_different_system_messages_in_one_instance_are_refused_by_name(other: str):
    with pytest.raises(InvalidRequest, match=r"item b0.*item a0"):
        joined([item("a", 0, system="Be brief."), item("b", 0, system=other)], "multi")


def test_two_percent_are_held_out_and_never_trained_on():
    items = sources(a=200, b=1000, c=1, d=3)
    kept, held = hold_out(items, 0)
    assert {name: len(some) for name, some in held.items()} == {"a": 4, "b": 16, "c": 0, "d": 1}
    for name, some in items.items():
        assert sorted(one.id for one in [*kept[name], *held[name]]) == sorted(one.id for one in some)


def test_sources_that_share_ids_hold_out_the_same_ones():
    items = {name: [item("x", index, modality=name) for index in range(100)] for name in ("a", "b")}
    _, held = hold_out(items, 0)
    assert [one.id for one in held["a"]] == [one.id for one in held["b"]]
    assert [one.id for one in hold_out(items, 1)[1]["a"]] != [one.id for one in held["a"]]


def generated(**generators) -> dict[str, list[Item]]:
    return {
        name: [
            read_item(record, source=name, modality=name, where=name, picture=Image)
            for record in GENERATORS[kind](options)
        ]
        for name, (kind, options) in generators.items()
    }


def test_no_held_out_topic_is_trained_on_in_another_language_or_as_a_twin():
    told = {"topics": 60, "seed": 3}
    items = generated(
        en=("reading", told),
        es=("reading", told | {"language": "es"}),
        pairs=("pairs", told | {"languages": [["en", "en"]]}),
    )
    kept, held = hold_out(items, 0)
    about = {one.meta["topic"] for some in held.values() for one in some}
    assert {one.meta["topic"] for one in held["en"]} == {one.meta["topic"] for one in held["es"]}
    assert len(held["pairs"]) > 1
    assert all(one.meta["topic"] not in about for some in kept.values() for one in some)
    assert all(len(kept[name]) > 0.9 * len(some) for name, some in items.items())


def test_every_source_of_many_holds_out_an_item():
    _, held = hold_out(sources(**{f"s{index}": 10 for index in range(65)}), 0)
    assert {len(some) for some in held.values()} == {1}


def test_a_source_of_nothing_but_held_out_topics_is_refused():
    items = {"many": sources(a=50)["a"]}
    first = hold_out(items, 0)[1]["many"][0]
    with pytest.raises(InvalidRequest, match="everything in few is about what other sources hold out"):
        hold_out({**items, "few": [first]}, 0)
