"""Requests that wait for one guard. The guard is a recorder: what counts is which requests reach it together."""

import threading
from concurrent.futures import wait
from dataclasses import replace

import pytest

from xmguard import AnswerRequest, Span
from xmguard.errors import InvalidRequest
from xmguard.request import Prompt
from xmguard_research.benchmarks.queueing import SharedQueue

DOOR = AnswerRequest(spans=(Span("s1", "The door is red."),), question="Which colour?", prompt=Prompt.STANDARD)
WALL = replace(DOOR, question="And the wall?")


class Recorder:
    """Answers with the question and the prompt, after it has been let go."""

    def __init__(self, refuses=None):
        self.calls = []
        self.go = threading.Event()
        self.refuses = refuses

    def answers(self, requests):
        assert self.go.wait(10)
        self.calls.append([(request.question, request.prompt) for request in requests])
        if self.refuses in [request.prompt for request in requests]:
            raise InvalidRequest.field("prompt", "not this one")
        return [f"{request.question} {request.prompt.name}" for request in requests]


def ask(queue, requests):
    return [queue.put(request) for request in requests]


def test_requests_of_the_same_spans_are_answered_together_whoever_came_between():
    guard = Recorder()
    loading = threading.Event()
    queue = SharedQueue(lambda: loading.wait(10) and guard)
    explicit = replace(DOOR, prompt=Prompt.EXPLICIT)
    futures = ask(queue, [DOOR, WALL, explicit])
    guard.go.set()
    loading.set()
    assert [future.result(10) for future in futures] == [
        "Which colour? STANDARD",
        "And the wall? STANDARD",
        "Which colour? EXPLICIT",
    ]
    assert guard.calls == [
        [(DOOR.question, Prompt.STANDARD), (DOOR.question, Prompt.EXPLICIT)],
        [(WALL.question, Prompt.STANDARD)],
    ]


def test_a_queue_that_ran_empty_goes_on_with_what_comes_later():
    guard = Recorder()
    guard.go.set()
    queue = SharedQueue(lambda: guard)
    assert queue.put(DOOR).result(10)
    assert queue.put(WALL).result(10)
    assert len(guard.calls) == 2


def test_what_is_refused_does_not_take_the_others_with_it():
    guard = Recorder(refuses=Prompt.EXPLICIT)
    loading = threading.Event()
    queue = SharedQueue(lambda: loading.wait(10) and guard)
    guard.go.set()
    good, bad = ask(queue, [DOOR, replace(DOOR, prompt=Prompt.EXPLICIT)])
    loading.set()
    wait([good, bad], 10)
    assert good.result() == "Which colour? STANDARD"
    with pytest.raises(InvalidRequest, match="not this one"):
        bad.result()


def test_a_model_that_does_not_load_is_told_to_all_and_tried_again():
    guard = Recorder()
    guard.go.set()
    tried = []

    def load():
        tried.append(None)
        if len(tried) == 1:
            raise OSError("disk")
        return guard

    queue = SharedQueue(load)
    with pytest.raises(OSError, match="disk"):
        queue.put(DOOR).result(10)
    assert queue.put(DOOR).result(10)


def test_what_is_cancelled_before_its_turn_is_not_answered():
    guard = Recorder()
    queue = SharedQueue(lambda: guard)
    first = queue.put(DOOR)
    while not first.running():
        pass
    later = queue.put(WALL)
    assert later.cancel()
    guard.go.set()
    assert first.result(10)
    assert queue.put(replace(DOOR, prompt=Prompt.EXPLICIT)).result(10)
    assert [call[0][0] for call in guard.calls] == [DOOR.question, DOOR.question]
