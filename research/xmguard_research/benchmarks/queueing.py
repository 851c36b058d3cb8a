"""Requests that wait for one guard: those that share spans and words are taken together, in order of the first of them.

A guard runs one call at a time, so there is one thread. Knows nothing of inspect_ai and of suites.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from xmguard import AnswerRequest, AnswerResponse, Guard
from xmguard.errors import InvalidRequest
from xmguard.prompt_text import PromptText
from xmguard.together import alike
from xmguard_research.benchmarks.wording import said_in


class Waiting(NamedTuple):
    """A request, and who waits for its response."""

    request: AnswerRequest
    said: PromptText | None
    """The words to ask in; None for the model's own."""
    future: Future[AnswerResponse]

    def goes_with(self, other: Waiting) -> bool:
        """Can the two be answered together?"""
        return self.said == other.said and alike(self.request, other.request)


class SharedQueue:
    """Answers in a thread of its own, which lives while something waits."""

    def __init__(self, load: Callable[[], Guard]) -> None:
        """`load` is called once, in the thread, when the first request comes; again if it raised."""
        self._load = load
        self._guard: Guard | None = None
        self._waiting: list[Waiting] = []
        self._turn = threading.Lock()
        self._running = False

    def put(self, request: AnswerRequest, said: PromptText | None = None) -> Future[AnswerResponse]:
        """The response to come. One that is cancelled before its turn is not answered.

        Other words than the model's own need a guard whose plugins are `wording.rewordable`.
        """
        future: Future[AnswerResponse] = Future()
        with self._turn:
            self._waiting.append(Waiting(request, said, future))
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name="xmguard-bench", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            try:
                # Before the first is taken, so that those that come with it are here too.
                self._guard = self._guard or self._load()
            except BaseException as error:  # whoever waits is told, whatever it was
                self._refuse(error)
                return
            together = self._taken()
            if together is None:
                return
            if together:
                self._answer(self._guard, together)

    def _answer(self, guard: Guard, together: list[Waiting]) -> None:
        try:
            with said_in(together[0].said):
                responses = guard.answers([one.request for one in together])
        except InvalidRequest as refused:
            if len(together) == 1:
                together[0].future.set_exception(refused)
            else:  # one of them may be the others' trouble
                for one in together:
                    self._answer(guard, [one])
        except BaseException as error:
            for one in together:
                one.future.set_exception(error)
        else:
            for one, response in zip(together, responses, strict=True):
                one.future.set_result(response)

    def _refuse(self, error: BaseException) -> None:
        with self._turn:
            waiting, self._waiting, self._running = self._waiting, [], False
        for one in waiting:
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(error)

    def _taken(self) -> list[Waiting] | None:
        """The next requests, which are answered together; None ends the thread."""
        with self._turn:
            self._waiting = [one for one in self._waiting if not one.future.cancelled()]
            if not self._waiting:
                self._running = False
                return None
            first = self._waiting[0]
            chosen = [one for one in self._waiting if one.goes_with(first)]
            self._waiting = [one for one in self._waiting if not one.goes_with(first)]
        return [one for one in chosen if one.future.set_running_or_notify_cancel()]
