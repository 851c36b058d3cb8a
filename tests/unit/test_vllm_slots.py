"""The books over vLLM's slots: who is served from where, what is counted once, and what is told when."""

from dataclasses import replace

import pytest
import torch

from xmguard.attention.slot_tables import GENERATED, LAST, PROMPT, Rule, SlotTables
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.backends.vllm.worker.readings import ModelFacts
from xmguard.backends.vllm.worker.reports import Reports
from xmguard.backends.vllm.worker.slots import PLAIN, Row, Slots, slot_reading
from xmguard.bias import AttentionBias, FloorShares, SoftenShares, TargetShares
from xmguard.context import SpanMap, SpanTokens
from xmguard.request import Scope

FACTS = ModelFacts({"one": 0, "two": 1}, heads=4, own_heads=slice(2, 4), factors=[torch.zeros(2, 8, 8)] * 2)
SPANS = SpanMap((SpanTokens("a", 2, 6), SpanTokens("b", 6, 10)), 12)
SPEC = ReadingSpec("first", SPANS, prompt_tokens=16, bias=AttentionBias({"a": 2.0}), measured=True, told=True)


class Told:
    """The front's end of the channel."""

    def __init__(self):
        self.messages = []

    def totals(self, request, kind, totals):
        self.messages.append((request, kind, totals.rows, totals.arrays()[0]))

    def token(self, request, index, entropy):
        self.messages.append((request, "token", index, entropy))

    def probe(self, request, logits):
        raise AssertionError("no slot is probed")

    def error(self, request, text):
        self.messages.append((request, "error", text))


class World:
    """Slots, and a runner that puts requests into them."""

    def __init__(self):
        self.told = Told()
        self.reports = Reports()
        self.tables = SlotTables.empty(4, spans=3, layers=2, heads=2, device="cpu")
        self.slots = Slots(self.tables, self.told, self.reports)
        self.slots.facts = FACTS
        self.names = {}
        self.slots.occupant = self.names.get

    def step(self, *requests):
        """A step of (slot, first position, tokens after it)."""
        self.slots.begin()
        starts = [0]
        for _, first, stop in requests:
            starts.append(starts[-1] + stop - first)
        rows = self.slots.rows([slot for slot, _, _ in requests], starts, [stop for _, _, stop in requests])
        assert self.slots.rows([9], [0, 1], [1]) is rows  # every group of layers asks, one step answers
        self.slots.settle()
        return rows

    def messages(self):
        self.reports.close()
        return self.told.messages


@pytest.fixture
def world():
    return World()


def test_rows_before_the_readers_are_vllms_and_a_chunk_across_is_both(world):
    world.names[1] = "r"
    assert world.slots.add(1, SPEC)
    assert world.step((1, 0, 8)) == [PLAIN]
    assert world.step((1, 8, 14)) == [Row(1, 12, whole=False)]
    assert world.step((1, 14, 16)) == [Row(1, 14, whole=True)]
    assert world.step((1, 16, 17)) == [Row(1, 16, whole=True)]


def test_a_request_without_a_reading_is_vllms_and_clears_the_slot(world):
    world.names[1] = "r"
    world.slots.add(1, SPEC)
    world.step((1, 0, 16))
    assert world.tables.limits[1, 1] == 12
    world.names[1] = "s"
    assert not world.slots.add(1, None)
    assert world.step((1, 0, 16)) == [PLAIN]
    assert world.tables.limits[1, 1] == LAST


def test_outside_of_a_step_nothing_is_served(world):
    world.slots.add(1, SPEC)
    assert world.slots.rows([1], [0, 16], [16]) == [PLAIN]


def test_a_prompt_is_told_once_when_its_last_row_is_through(world):
    world.names[1] = "r"
    world.slots.add(1, SPEC)
    world.step((1, 0, 13))
    world.tables.sums[1, PROMPT] += 5.0
    world.tables.sums[1, GENERATED] += 7.0
    world.step((1, 13, 16))
    world.step((1, 16, 17))
    world.slots.tell_generated(["first", "other"])
    (_, prompt, rows, norms), (_, generated, more, later) = world.messages()
    assert (prompt, rows, generated, more) == ("prompt", 4, "generated", 1)
    assert norms.shape == (2, 2, 3)  # the table holds a fourth segment that this request does not have
    assert (norms == 5.0).all()
    assert (later == 7.0).all()


def test_a_request_that_is_put_off_comes_back_with_its_sums_and_counts_no_row_twice(world):
    world.names[1] = "r"
    world.slots.add(1, SPEC)
    world.step((1, 0, 16))
    world.step((1, 16, 17))
    world.tables.sums[1] += 3.0
    del world.names[1]
    world.step()
    assert len(world.slots) == 0
    world.names[3] = "r"
    world.slots.add(3, SPEC)
    assert world.step((3, 0, 17)) == [Row(3, 17, whole=False)]
    assert (world.tables.sums[3] == 3.0).all()
    assert [message[1:3] for message in world.messages()] == [("prompt", 4), ("generated", 1)]


def test_a_slot_that_is_taken_at_once_still_tells_of_who_was_in_it(world):
    world.names[1] = "r"
    world.slots.add(1, SPEC)
    world.step((1, 0, 16))
    world.tables.sums[1] += 3.0
    world.names[1] = "s"
    world.slots.add(1, replace(SPEC, id="second"))
    world.step((1, 0, 16))
    assert (world.tables.sums[1] == 0.0).all()
    told = world.messages()
    assert [message[:3] for message in told] == [
        ("first", "prompt", 4),
        ("first", "generated", 0),
        ("second", "prompt", 4),
    ]
    assert (told[1][3] == 3.0).all()


def test_rows_that_were_never_run_fail_the_request(world):
    world.names[1] = "r"
    world.slots.add(1, SPEC)
    assert world.step((1, 14, 16)) == [PLAIN]
    assert world.slots.reader(1) is None
    assert world.messages() == [("first", "error", "rows 12 to 13 were never run, so they are not measured")]


REFUSED = {
    "adapters such as 'probe' are not run on CUDA": replace(SPEC, adapter="probe"),
    "head factors are for": replace(SPEC, bias=AttentionBias({"a": 1.0}, heads=((1.0,),))),
    "there are 4 spans, the tables hold 3": replace(
        SPEC, span_map=SpanMap(tuple(SpanTokens(str(k), k, k + 1) for k in range(4)), 12)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_reading_that_cannot_be_had_is_said_and_never_run_unbiased(world, message):
    world.names[1] = "r"
    assert not world.slots.add(1, REFUSED[message])
    ((request, kind, text),) = world.messages()
    assert (request, kind) == ("first", "error")
    assert message in text


def test_before_the_model_was_examined_a_reading_is_refused(world):
    world.slots.facts = None
    assert not world.slots.add(1, SPEC)
    assert world.messages() == [("first", "error", "the engine was not examined")]


def test_every_generated_token_is_counted_once(world):
    world.slots.add(1, SPEC)
    assert [world.slots.token(1, length) for length in (14, 16, 17, 17, 16, 18)] == [None, 0, 1, None, None, 2]
    world.slots.entropies([("first", 0), ("first", 1)], torch.tensor([0.5, 0.25]))
    assert world.messages() == [("first", "token", 0, 0.5), ("first", "token", 1, 0.25)]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (TargetShares({"b": 0.3}), (Rule.TARGET, (0.0, 0.3), 1.0)),
        (FloorShares({"a": 0.5}, cap=4.0), (Rule.FLOOR, (0.5, 0.0), 4.0)),
        (SoftenShares(2.5), (Rule.SOFTEN, (), 2.5)),
    ],
    ids=["target", "floor", "soften"],
)
def test_rules_scopes_and_heads_become_tables(rule, told):
    heads = ((1.0, 0.5, 0.25, 0.0), (0.0, 0.0, 1.0, 1.0))
    spec = replace(SPEC, bias=AttentionBias({"b": -1.0}, Scope.ALL, rule, heads), measured=False)
    reading = slot_reading(spec, FACTS)
    assert (reading.rule, reading.shares, reading.rule_value) == told
    assert reading.first_reader == (6, 10)
    assert reading.epsilon == (0.0, -1.0)
    assert reading.measured_from == LAST
    assert torch.equal(reading.head_factors, torch.tensor(heads)[:, 2:])  # this rank's


def test_a_reading_that_only_measures_serves_from_the_context_on():
    reading = slot_reading(replace(SPEC, bias=AttentionBias()), FACTS)
    assert (reading.served_from, reading.measured_from, reading.prompt_tokens) == (12, 12, 16)
