"""Who is which row of vLLM's batch, what each is owed, and what is said when that cannot be had."""

import pytest

from tests.unit.test_vllm_rows import FACTS, SPANS
from xmguard.backends.vllm.spec import PicturePlace, ReadingSpec
from xmguard.backends.vllm.worker.readings import Readings
from xmguard.bias import AttentionBias
from xmguard.request import Scope


class Channel:
    def __init__(self):
        self.told = []

    def totals(self, request, kind, totals):
        self.told.append((request, kind, totals.rows))

    def token(self, request, index, entropy):
        self.told.append((request, "token", index))

    def probe(self, request, logits):
        self.told.append((request, "probe", logits))

    def scores(self, request, logprobs):
        self.told.append((request, "scores", logprobs))

    def error(self, request, text):
        self.told.append((request, "error", text))


@pytest.fixture
def readings():
    readings = Readings(Channel())
    readings.facts = FACTS
    return readings


def spec(name, prompt=20, **more):
    return ReadingSpec(name, SPANS, prompt, AttentionBias({"a": 1.0}), **({"measured": True} | more))


def run(readings, starts, lengths, served=(0,)):
    """One step; returns (request, start, stop) of what is read."""
    readings.begin()
    step = readings.step(starts, lengths)
    step.served.update(served)
    found = [(chunk.reader.spec.id, chunk.start, chunk.stop) for chunk in step.chunks]
    readings.settle()
    return found


def test_rows_are_followed_through_removal_addition_and_moves(readings):
    readings.move([], [(0, spec("x"), 20, []), (1, None, 9, []), (2, spec("y"), 20, [])], [])
    assert run(readings, [0, 20, 29, 49], [20, 9, 20]) == [("x", 0, 20), ("y", 0, 20)]
    readings.move([0], [], [(2, 0, False)])
    assert run(readings, [0, 1, 2], [21, 10]) == [("y", 20, 21)]
    readings.move([], [(2, spec("z"), 20, [])], [(0, 2, True)])
    assert run(readings, [0, 20, 21, 22], [20, 11, 22]) == [("z", 0, 20), ("y", 21, 22)]
    assert [told[:2] for told in readings.channel.told] == [
        ("x", "prompt"),
        ("y", "prompt"),
        ("x", "generated"),
        ("z", "prompt"),
    ]


def test_a_request_that_is_pushed_out_is_kept_and_not_counted_twice(readings):
    readings.move([], [(0, spec("x"), 20, [])], [])
    run(readings, [0, 20], [20])
    run(readings, [0, 1], [21])
    readings.is_alive = lambda request: True
    readings.move([0], [], [])
    assert len(readings) == 1
    readings.move([], [(0, spec("x"), 20, [5, 6])], [])
    run(readings, [0, 22], [22])
    readings.is_alive = lambda request: False
    readings.move([0], [], [])
    assert readings.channel.told == [("x", "prompt", 7), ("x", "generated", 2)]
    assert len(readings) == 0


def test_a_row_that_is_only_run_again_predicts_nothing(readings):
    readings.move([], [(0, spec("x"), 20, [5, 6, 7])], [])
    assert readings.channel.told == [("x", "error", "what was measured of it is lost")]
    readings.move([], [(0, spec("y", measured=False), 20, [5, 6, 7])], [])
    for starts, lengths, predicts in (([0, 21], [21], None), ([0, 2], [23], 3)):
        readings.begin()
        step = readings.step(starts, lengths)
        step.served.add(0)
        assert [chunk.predicts for chunk in step.chunks] == [predicts]


@pytest.mark.parametrize(
    ("asked", "prompt", "says"),
    [
        (spec("x"), 19, "its prompt has 19 tokens; its reading is of 20"),
        (spec("x", adapter="answer"), 20, "this engine has no adapter 'answer'"),
        (
            spec("x", pictures=(PicturePlace("seen", ((3, 5), (6, 8))),)),
            20,
            "its pictures are others, or elsewhere: vLLM runs it with none; its spans were laid by seen at 3-4, 6-7",
        ),
    ],
)
def test_what_cannot_be_read_as_asked_is_said_at_once(readings, asked, prompt, says):
    readings.move([], [(0, asked, prompt, [])], [])
    assert readings.channel.told == [("x", "error", says)]
    assert run(readings, [0, 20], [20]) == []


def test_nothing_is_read_before_the_model_was_examined():
    readings = Readings(Channel())
    readings.move([], [(0, spec("x"), 20, [])], [])
    assert readings.channel.told == [("x", "error", "the engine was not examined")]


def test_a_layer_that_was_missed_and_rows_that_were_never_run_are_errors_said_once(readings):
    readings.move([], [(0, spec("x"), 20, []), (1, spec("y"), 20, [])], [])
    run(readings, [0, 20, 24], [20, 20], served=())
    run(readings, [0, 1, 2], [21, 21], served=())
    assert readings.channel.told == [
        ("y", "error", "rows 13 to 15 were never run, so they are not measured"),
        ("x", "error", "its bias reached 0 of 1 layers"),
    ]


def test_keys_are_shared_up_to_where_a_reading_changes_them():
    def at(scope=Scope.READERS, bias=1.0, **more):
        return ReadingSpec("x", SPANS, 20, AttentionBias({"b": bias}, scope), **more)

    def firsts(reading):
        return [first for first, _ in reading.keys]

    assert firsts(at()) == [13]
    assert firsts(at(Scope.ALL)) == [13]  # where the second span ends
    assert firsts(at(Scope.GENERATED)) == [20]
    assert firsts(at(bias=0.0)) == []
    assert firsts(at(bias=0.0, measured=True)) == firsts(at(bias=0.0, adapter="probe")) == [13]
    assert at().keys == ReadingSpec("y", SPANS, 30, AttentionBias({"b": 1.0})).keys
    assert len({at().keys, at(bias=2.0).keys, at(Scope.ALL).keys, at(adapter="probe").keys}) == 4
    assert at(measured=True).keys != ReadingSpec("y", SPANS, 20, AttentionBias({"b": 1.0}), measured=True).keys


def test_rows_that_score_are_nobody_elses_and_those_before_them_are_shared():
    def scoring(name, **more):
        return ReadingSpec(name, SPANS, 20, AttentionBias({"b": 1.0}), **more)

    shared, own = scoring("x", scored=(5, 6), choices=(7,)).keys
    assert shared == scoring("y").keys[0]
    assert own[0] == 17  # the row that predicts the first of three tokens
    assert scoring("y", scored=(5, 6), choices=(7,)).keys[1] != own
    assert [first for first, _ in scoring("x", scored=(5, 6), measured=True).keys] == [13]


def test_scores_are_told_once_every_row_that_predicts_was_run_and_read_as_asked(readings):
    asked = ReadingSpec("x", SPANS, 20, AttentionBias({"a": 1.0}), scored=(5, 6), choices=(7, 8))
    for chunk in ((0, 18), (18, 20)):
        readings.move([], [(0, asked, 20, [])], [])
        readings.begin()
        step = readings.step([0, chunk[1] - chunk[0]], [chunk[1]])
        step.served.add(0)
        for one, position in readings.scoring():
            readings.scored(one, position, [-float(token) for token in one.reader.asked_of(position)])
        assert readings.channel.told == []
        readings.settle()
    assert readings.channel.told == [("x", "scores", [-5.0, -6.0, -7.0, -8.0])]


def test_rows_that_score_and_were_never_run_are_an_error(readings):
    asked = ReadingSpec("x", SPANS, 20, AttentionBias({"a": 1.0}), scored=(5, 6), choices=(7,))
    readings.move([], [(0, asked, 20, [])], [])
    readings.begin()
    step = readings.step([0, 1], [20])
    step.served.add(0)
    for one, position in readings.scoring():
        readings.scored(one, position, [0.0])
    readings.settle()
    ((_, kind, said),) = readings.channel.told
    assert (kind, said) == ("error", "rows [17, 18] were never run, so they score nothing")
