"""What is compared with what: every cell of the benchmark, in the order in which it is run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial

from xmguard import Guard
from xmguard.context import EncodedPrompt
from xmguard.deadline import Stop
from xmguard.request import AnswerRequest
from xmguard_research.speed import guarded, plain
from xmguard_research.speed.models import Models
from xmguard_research.speed.prompts import answer_request, prompt_ids, prompt_of, request_of
from xmguard_research.speed.report import PLAIN
from xmguard_research.speed.timing import Cell, Timed, Variant

CHECK_TOKENS = 16
"""Greedy tokens of the plain generation that a check is compared with."""
SPAN_TOKENS = 64
TOTAL_TOKENS = 1024
SPANS = (2, 8, 32)

AGREEMENTS: Mapping[tuple[str, str], str] = {
    ("decode", "unbiased"): PLAIN,
    ("decode", "weights"): PLAIN,
    ("decode", "contributions"): "bias",
    ("decode", "mask"): "bias",
    ("whole", "mask"): "contributions",
    ("whole", "branches"): PLAIN,
    ("whole", "separate"): PLAIN,
}
"""Experiment and variant to the variant whose tokens it must decode, in its first sequences at least: the mathematics
is the same, so anything else would be an unfair comparison."""


def decode_cells(models: Models, contexts: Sequence[int], batches: Sequence[int], steps: int) -> Iterator[Cell]:
    """Seconds per decoded token, by context and batch."""
    for context in contexts:
        for batch in batches:
            yield Cell(
                "decode",
                {"context": context, "batch": batch},
                steps,
                partial(_decode, models, context, batch, steps),
            )


def whole_cells(models: Models, contexts: Sequence[int], tokens: int) -> Iterator[Cell]:
    """Seconds of a prefill and `tokens` tokens: one session of three branches, and the ways around it."""
    for context in contexts:
        yield Cell("whole", {"context": context}, 1, partial(_whole, models, context, tokens))


def check_cells(models: Models, spans: Sequence[int]) -> Iterator[Cell]:
    """Seconds of a check, by number of spans."""
    for kind, same_answer, total in (
        ("equal answers", True, None),
        ("different answers", False, None),
        ("different answers, fixed total", False, TOTAL_TOKENS),
    ):
        if total is not None and len(spans) == 1:
            continue  # there is nothing to compare a way of cutting it with
        for number in spans:
            each = SPAN_TOKENS if total is None else total // number
            case: dict[str, int | str] = {"kind": kind, "spans": number, "span_tokens": each}
            yield Cell("check", case, 1, partial(_check, models, number, each, same_answer))


def answer_cells(models: Models, contexts: Sequence[int], tokens: int) -> Iterator[Cell]:
    """Seconds of a steered answer over two spans, by context."""
    for context in contexts:
        yield Cell("answer", {"context": context}, 1, partial(_answer, models, context, tokens))


def _decode(models: Models, context: int, batch: int, steps: int, stack: ExitStack) -> Mapping[str, Variant]:
    prompt = prompt_of(models.backend, context)
    prefilled = plain.prefill(models.sdpa, _joint(prompt))
    session = stack.enter_context(closing(models.backend.open(prompt, Stop())))
    variants: dict[str, Variant] = {PLAIN: partial(plain.decode, models.sdpa, prefilled, batch=batch, steps=steps)}
    for name, steered, measured in (
        ("unbiased", False, False),
        ("bias", True, False),
        ("contributions", True, True),
    ):
        branches = guarded.branches_of(prompt, name, batch, steered=steered, measured=measured)
        guarded.prepare(session, branches)
        variants[name] = partial(guarded.decode, session, branches, steps=steps)
    if batch == 1:
        mask = _mask(models, prompt)
        masked = plain.prefill(models.sdpa, _joint(prompt), mask.prefill())
        variants["mask"] = partial(plain.decode_masked, models.sdpa, masked, mask, steps=steps)
        variants["weights"] = partial(plain.decode_with_weights, models.eager, prefilled, prompt, steps=steps)
    return variants


def _whole(models: Models, context: int, tokens: int, stack: ExitStack) -> Mapping[str, Variant]:
    prompt = prompt_of(models.backend, context)
    joint = _joint(prompt)
    preamble = prompt.context_ids[: prompt.span_map.spans[0].start]
    alone = [(*preamble, *prompt.context_ids[span.start : span.stop], *prompt.alone_tail) for span in prompt.span_map]
    steered = guarded.branches_of(prompt, "contributions", 1, steered=True, measured=True)
    return {
        PLAIN: partial(plain.whole, models.sdpa, joint, tokens=tokens),
        "contributions": partial(guarded.whole, models.backend, prompt, steered, tokens=tokens),
        "mask": partial(plain.whole_masked, models.sdpa, prompt, _mask(models, prompt), tokens=tokens),
        "branches": partial(guarded.whole, models.backend, prompt, guarded.alone_branches(prompt), tokens=tokens),
        "separate": partial(plain.separate, models.sdpa, [joint, *alone], tokens=tokens),
    }


def _check(models: Models, spans: int, each: int, same_answer: bool, stack: ExitStack) -> Mapping[str, Variant]:
    request = request_of(models.guard.backend, spans=spans, span_tokens=each, same_answer=same_answer)
    ids = prompt_ids(models.guard.backend, request)
    return {
        PLAIN: partial(plain.whole, models.sdpa, ids, tokens=CHECK_TOKENS),
        "check": partial(_timed_check, models.guard, request),
    }


def _answer(models: Models, context: int, tokens: int, stack: ExitStack) -> Mapping[str, Variant]:
    guard = models.guard
    request = answer_request(guard.backend, context_tokens=context, max_tokens=tokens)
    said = guard.answer(request).usage.completion_tokens
    return {
        PLAIN: partial(plain.whole, models.sdpa, prompt_ids(guard.backend, request), tokens=said),
        "answer": partial(_timed_answer, guard, request, said),
    }


def _timed_check(guard: Guard, request: AnswerRequest) -> Timed:
    started = time.perf_counter()
    guard.check(request)
    return Timed(time.perf_counter() - started)


def _timed_answer(guard: Guard, request: AnswerRequest, tokens: int) -> Timed:
    started = time.perf_counter()
    response = guard.answer(request)
    seconds = time.perf_counter() - started
    if response.usage.completion_tokens != tokens or not response.rebalancing.applied:
        raise RuntimeError(
            f"the answer took {response.usage.completion_tokens} tokens, not {tokens}, or was not steered"
        )
    return Timed(seconds)


def _joint(prompt: EncodedPrompt) -> tuple[int, ...]:
    return (*prompt.context_ids, *prompt.joint_tail)


def _mask(models: Models, prompt: EncodedPrompt) -> plain.SpanMask:
    return plain.SpanMask(prompt, {prompt.span_map.ids[0]: guarded.BIAS}, models.sdpa.dtype)
