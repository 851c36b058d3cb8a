"""Which items are drawn, and which of them share a conversation.

The draw depends on sources, seed and budget alone, so that strategies compare on the same items in the same amount.
Knows neither files nor tokenizers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from itertools import combinations
from random import Random
from typing import Literal, TypeVar

from xmguard.errors import InvalidRequest
from xmguard_research.mixing.items import ASSISTANT, SYSTEM, USER, Image, Item, Message

T = TypeVar("T")

DRAWING = 2
"""Raised when `hold_out`, `draw` or `mix` make something else of the same items; 1 was not written down."""
VALIDATION_SHARE = Fraction(1, 50)
VALIDATION_ITEMS = 64
"""Held out of all sources together, but for one of each; in instances they are at most as many."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn of one source."""

    items: tuple[Item, ...]
    """In the order of the draw; every item comes once before any comes again."""
    tokens: int
    """That carry a loss: of answers, and of what ends each."""
    available: int
    """Items there were to draw from."""

    @property
    def passes(self) -> float:
        """How often the source was gone through."""
        return len(self.items) / self.available


@dataclass(frozen=True)
class Instance:
    """One conversation to train on: items, and their messages joined."""

    id: str
    items: tuple[Item, ...]
    messages: tuple[Message, ...]


def hold_out(items: Mapping[str, Sequence[Item]], seed: int) -> tuple[dict[str, list[Item]], dict[str, list[Item]]]:
    """By source, the items to train on and those to validate on.

    Of every source the same share (2 %), at least one item and at most its part of 64; nothing of a source that is
    about one thing alone. What is about the same, in whatever source, is not trained on either: translations, twins,
    other questions about it. `meta.topic` says what an item is about; without it, its id does.

    Raises:
        InvalidRequest: nothing of a source is left to train on.
    """
    most = max(1, VALIDATION_ITEMS // len(items))

    def place(item: Item) -> tuple[bytes, bytes]:
        about, one = (sha256(f"{seed}/{name}".encode()).digest() for name in (topic(item), item.id))
        return about, one

    held: dict[str, list[Item]] = {}
    for name, there in items.items():
        several = len({topic(item) for item in there}) > 1
        count = min(max(1, round(len(there) * VALIDATION_SHARE)), most) if several else 0
        held[name] = sorted(there, key=place)[:count]
    about = {topic(item) for some in held.values() for item in some}
    kept = {name: [item for item in there if topic(item) not in about] for name, there in items.items()}
    if without := [name for name, some in kept.items() if not some]:
        raise InvalidRequest.field(
            "data.sources",
            f"everything in {without[0]} is about what other sources hold out for validation; give it more topics "
            "(meta.topic, or ids)",
        )
    return kept, held


def topic(item: Item) -> str:
    """What it is about: items about the same are never split between training and validation."""
    return str(item.meta.get("topic", item.id))


def draw(
    items: Mapping[str, Sequence[Item]],
    weights: Mapping[str, float],
    tokens: Callable[[Item], int],
    budget: int,
    seed: int,
) -> dict[str, Drawn]:
    """Draw items, source by source in turn, until the next round would exceed the budget.

    A source is gone through in an order of its own without replacement, and then again in another.

    Args:
        items: of every source; none is empty.
        weights: of the sources; equal weights draw equal numbers of items.
        tokens: how many of an item's tokens carry a loss.
        budget: at most so many tokens are drawn.
        seed: of the orders.

    Raises:
        InvalidRequest: the budget does not reach for an item of every source.
    """
    endless = {name: _again_and_again(there, seed, name) for name, there in items.items()}
    heaviest = max(Fraction(str(weight)) for weight in weights.values())
    shares = {name: Fraction(str(weights[name])) / heaviest for name in items}
    drawn: dict[str, list[Item]] = {name: [] for name in items}
    spent = dict.fromkeys(items, 0)
    costs: dict[tuple[str, str], int] = {}
    turn = 0
    while True:
        turn += 1
        taken = {
            name: [next(endless[name]) for _ in range(int(turn * share) - len(drawn[name]))]
            for name, share in shares.items()
        }
        for item in (item for some in taken.values() for item in some):
            if (item.source, item.id) not in costs:
                costs[item.source, item.id] = tokens(item)
        cost = {name: sum(costs[item.source, item.id] for item in some) for name, some in taken.items()}
        if sum(spent.values()) + sum(cost.values()) > budget:
            break
        for name, some in taken.items():
            drawn[name] += some
            spent[name] += cost[name]
    without = [name for name, some in drawn.items() if not some]
    if without:
        raise InvalidRequest.field(
            "data.trained_tokens", f"is {budget}, which does not reach for an item of {', '.join(without)}; give more"
        )
    return {name: Drawn(tuple(some), spent[name], len(items[name])) for name, some in drawn.items()}


def mix(
    items: Mapping[str, Sequence[Item]],
    *,
    strategy: Literal["instance", "dataset"],
    size: int,
    turns: Literal["multi", "single"],
    shuffle: bool,
    seed: int,
    name: str,
) -> list[Instance]:
    """Instances of all items, each of which is in one of them.

    `instance`: items of `size` different modalities, every combination of modalities as often as any other for as
    long as there are items for it. `dataset`: items of one source. What is left over at the end is in instances of
    fewer items.

    Args:
        items: by source, in the order of the draw.
        strategy: which items may share an instance.
        size: items in an instance.
        turns: a turn for each item, or one for all.
        shuffle: whether items within an instance come in any order, or in that of the sources.
        seed: of all orders.
        name: what the instances' ids begin with.

    Raises:
        InvalidRequest: items that share an instance have different system messages.
    """
    queues = _by_modality(items, seed, name) if strategy == "instance" else items
    groups = list(_combined(queues, size, seed, name) if strategy == "instance" else _within(queues, size))
    position = {source: index for index, source in enumerate(items)}
    random = _random(seed, "order", name)
    made = []
    for group in groups:
        order = sorted(group, key=lambda item: position[item.source])
        if shuffle:
            random.shuffle(order)
        made.append(order)
    random.shuffle(made)
    return [
        Instance(f"{name}-{index:06d}", tuple(order), joined(order, turns)) for index, order in enumerate(made, start=1)
    ]


def joined(items: Sequence[Item], turns: Literal["multi", "single"]) -> tuple[Message, ...]:
    """The messages of items as one conversation.

    Raises:
        InvalidRequest: they have different system messages.
    """
    first = items[0]
    for item in items[1:]:
        if item.system != first.system:
            raise InvalidRequest.field(
                f"{item.where} (item {item.id})",
                f"has another system message than {first.where} (item {first.id}), which shares its instance; "
                "a conversation has one: give both the same, or none",
            )
    system = () if first.system is None else (Message(SYSTEM, first.system),)
    if turns == "multi" or len(items) == 1:
        return (*system, *(message for item in items for turn in item.turns for message in turn))
    messages = []
    for index in range(max(len(item.turns) for item in items)):
        there = [(number, item.turns[index]) for number, item in enumerate(items, start=1) if index < len(item.turns)]
        asked = [part for place, (number, turn) in enumerate(there) for part in _numbered(number, turn[0], place)]
        replies = [f"{number}. {''.join(map(str, turn[1].content))}" for number, turn in there]
        messages += [Message(USER, tuple(asked)), Message(ASSISTANT, ("\n\n".join(replies),))]
    return (*system, *messages)


def _numbered(number: int, message: Message, place: int) -> list[str | Image]:
    """The parts of a message with its number before them; a blank line parts it from the one before."""
    lead = f"{chr(10) * 2 if place else ''}{number}. "
    first, *rest = message.content
    return [lead, first, *rest] if isinstance(first, Image) else [lead + first, *rest]


def _by_modality(items: Mapping[str, Sequence[Item]], seed: int, name: str) -> dict[str, list[Item]]:
    """Items by modality; sources that share one are shuffled into each other."""
    sources: dict[str, list[Sequence[Item]]] = {}
    for some in items.values():
        if some:
            sources.setdefault(some[0].modality, []).append(some)
    return {
        modality: list(some[0])
        if len(some) == 1
        else _shuffled([item for one in some for item in one], seed, "modality", name, modality)
        for modality, some in sources.items()
    }


def _combined(queues: Mapping[str, Sequence[Item]], size: int, seed: int, name: str) -> Iterator[list[Item]]:
    """Groups of items of `size` modalities, then smaller ones of what is left."""
    left = {modality: deque(some) for modality, some in queues.items()}
    every = list(combinations(left, size))
    random = _random(seed, "combinations", name)
    turn: list[tuple[str, ...]] = []
    renewed = False
    while True:
        possible = [chosen for chosen in turn if all(left[modality] for modality in chosen)]
        if not possible:
            if renewed:
                break
            turn, renewed = every.copy(), True
            random.shuffle(turn)
            continue
        renewed = False
        # Where most is left first, so that as little as possible stays over.
        chosen = max(possible, key=lambda chosen: sum(len(left[modality]) for modality in chosen))
        turn.remove(chosen)
        yield [left[modality].popleft() for modality in chosen]
    while rest := [modality for modality, some in left.items() if some]:
        yield [left[modality].popleft() for modality in rest]


def _within(queues: Mapping[str, Sequence[Item]], size: int) -> Iterator[list[Item]]:
    """Groups of `size` items of one source; no item is in one twice."""
    for some in queues.values():
        left = deque(some)
        while left:
            group: list[Item] = []
            passed: list[Item] = []
            while left and len(group) < size:
                item = left.popleft()
                (passed if any(item.id == other.id for other in group) else group).append(item)
            left.extendleft(reversed(passed))
            yield group


def _again_and_again(items: Sequence[Item], seed: int, name: str) -> Iterator[Item]:
    passes = 0
    while True:
        yield from _shuffled(items, seed, "draw", name, str(passes))
        passes += 1


def _shuffled(some: Sequence[T], seed: int, *purpose: str) -> list[T]:
    order = list(some)
    _random(seed, *purpose).shuffle(order)
    return order


def _random(seed: int, *purpose: str) -> Random:
    """A generator of its own for each purpose, so that one choice does not move another."""
    return Random("/".join([str(seed), *purpose]))
