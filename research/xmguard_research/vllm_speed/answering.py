"""Whole answers, several at once: the guard on vLLM, the guard on transformers, and separate calls to plain vLLM."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count

from xmguard.alone import MAX_ANSWER_TOKENS
from xmguard.bias import AttentionBias
from xmguard.context import Context, ContextSpan, EncodedPrompt
from xmguard.contracts import Backend, Branch
from xmguard.deadline import Stop
from xmguard.guard import Guard
from xmguard.request import AnswerRequest, Decoding, Detail, OnError, Prompt
from xmguard_research.speed.guarded import alone_branches
from xmguard_research.speed.prompts import prompt_of, request_of
from xmguard_research.speed.timing import Timed, Variant
from xmguard_research.vllm_speed.naive import PlainServer, calls_of, scoring_calls

SPANS = 2
GUARD, OTHER = "guard on vLLM", "guard on transformers"
NAIVE, SCORED = "separate calls", "separate calls that score"
"""`NAIVE` are the joint question and each span asked alone, by completions that run at once, and nothing else. `SCORED`
adds what a verdict needs at least: each span's answer scored under the other spans and under none. Contributions, a
bias and the pair probe are not to be had by calls."""
READINGS, STEERED = "readings on vLLM", "steered readings on vLLM"
"""`READINGS` are what separate calls make, in one session: the joint answer, and that of each span alone. `STEERED`
has the joint one read with a bias, and measured. A whole answer also measures the joint reading before it is
decoded, scores answers under one another, finds the sentences they rest on, and says what follows."""
SLIGHT = AttentionBias({"s1": 1e-3})
"""Costs what any bias costs, and leaves the answer as long as it is without."""
OTHERS = 4
"""Answers of the transformers engine in a sample at most: it takes one request at a time."""


_Answer = Callable[[AnswerRequest, Stop], None]


class Requests:
    """Requests that share nothing but the template with one another: a cache helps within one, and not across them."""

    def __init__(self, backend: Backend, *, span_tokens: int, tokens: int) -> None:
        self._request = replace(
            request_of(backend, spans=SPANS, span_tokens=span_tokens, same_answer=False),
            decoding=Decoding(max_tokens=tokens),
            on_error=OnError.OPEN,
        )
        self._numbers = count(1)

    def take(self, number: int) -> list[AnswerRequest]:
        """New ones."""
        return [self._next() for _ in range(number)]

    def _next(self) -> AnswerRequest:
        mark = f"Report {next(self._numbers)}. "
        spans = tuple(replace(span, text=f"{mark}{span.text}") for span in self._request.spans)
        return replace(self._request, spans=spans)


def variants(
    guard: Guard, other: Guard, server: PlainServer, requests: Requests, *, concurrency: int
) -> Mapping[str, Variant]:
    """Seconds per answer, `concurrency` of them at once; of the transformers engine one after the other."""

    def separate(request: AnswerRequest, stop: Stop, *, scored: bool) -> None:
        prompt = encoded(guard.backend, request)
        _, *alone = server.complete(calls_of(prompt, request.decoding.max_tokens))
        if scored:
            server.complete(scoring_calls(prompt, alone))

    def together(request: AnswerRequest, stop: Stop, *, steered: bool) -> None:
        prompt = encoded(guard.backend, request)
        joint, *alone = alone_branches(prompt)
        if steered:
            joint = replace(joint, bias=SLIGHT, measured=True)
        branches = [joint, *(replace(branch, single_line=True) for branch in alone)]
        limits = {branch.name: Decoding(max_tokens=MAX_ANSWER_TOKENS) for branch in branches}
        limits[joint.name] = request.decoding
        with closing(guard.backend.open(prompt, stop)) as session:
            for _ in session.decode(branches, limits):
                pass
            if steered:
                session.generated(joint)

    def answered(guard: Guard, request: AnswerRequest, stop: Stop) -> None:
        guard.answer(request, stop=stop)

    def timed(answer: _Answer, at_once: int, number: int) -> Variant:
        return partial(_answers, answer, requests, at_once, number)

    return {
        NAIVE: timed(partial(separate, scored=False), concurrency, concurrency),
        SCORED: timed(partial(separate, scored=True), concurrency, concurrency),
        READINGS: timed(partial(together, steered=False), concurrency, concurrency),
        STEERED: timed(partial(together, steered=True), concurrency, concurrency),
        GUARD: timed(partial(answered, guard), concurrency, concurrency),
        OTHER: timed(partial(answered, other), 1, min(OTHERS, concurrency)),
    }


def encoded(backend: Backend, request: AnswerRequest) -> EncodedPrompt:
    """Token ids of a request of text."""
    spans = [ContextSpan(replace(span, id=f"s{n}"), "text", "en") for n, span in enumerate(request.spans, start=1)]
    return backend.encode(Context(tuple(spans), request.question), Prompt.STANDARD)


def sharing(backend: Backend, *, context_tokens: int, tokens: int) -> Mapping[str, int]:
    """Tokens of the context of one request that were run, and that its branches found in the cache.

    The branches are the joint reading, one steered and measured, and each span alone.
    """
    prompt = prompt_of(backend, context_tokens, spans=SPANS)
    steered = Branch("steered", prompt.joint_tail, AttentionBias({"s1": 1.0}), measured=True)
    branches = (*alone_branches(prompt), steered)
    with closing(backend.open(prompt, Stop())) as session:
        opened = session.usage()
        for _ in session.decode(branches, {branch.name: Decoding(max_tokens=tokens) for branch in branches}):
            pass
        used = session.usage()
    length = len(prompt.context_ids)
    return {
        "of the context": length,
        "run when the session was opened": opened.context_tokens,
        "run again by branches, of a block that the context does not fill": used.context_tokens - opened.context_tokens,
        "read from the cache by branches": used.cached_tokens,
        "that separate prompts would have run": length * len(branches),
    }


def work(guard: Guard, request: AnswerRequest) -> Mapping[str, int]:
    """Tokens that the model reads for one whole answer, and for the calls that one would make instead.

    Of these nothing is found in a cache but the few tokens that all prompts begin with, which are counted everywhere.
    """
    prompt = encoded(guard.backend, request)
    response = guard.answer(replace(request, detail=Detail(alone_answers=True)))
    said = [guard.backend.ids(span.answer_alone or "") for span in response.spans]
    generated = response.usage.completion_tokens + sum(map(len, said))
    calls = sum(len(call.ids) for call in calls_of(prompt, request.decoding.max_tokens)) + generated
    scoring = sum(len(call.ids) for call in scoring_calls(prompt, said))
    usage = response.usage
    return {
        "read for a whole answer": usage.prompt_tokens + usage.completion_tokens + usage.evidence_tokens,
        "read for separate calls": calls,
        "read for separate calls that score": calls + scoring,
    }


def _answers(answer: _Answer, requests: Requests, concurrency: int, number: int) -> Timed:
    asked, stop = requests.take(number), Stop()
    pool = ThreadPoolExecutor(concurrency)
    started = time.perf_counter()
    try:
        for running in [pool.submit(answer, request, stop) for request in asked]:
            running.result()
        seconds = time.perf_counter() - started
    finally:  # whoever stops the run does not wait for answers
        stop.cancel()
        pool.shutdown(wait=False, cancel_futures=True)
    return Timed(seconds / number)
