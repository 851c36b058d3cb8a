"""What a model answers to the cases of a suite under several policies, and how its heads read them without any.

All policies of one case are decoded as one batch on one context, greedily, without a verdict. Rows are kept in a file,
so that a run which was stopped goes on. Judges nothing and chooses nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from xmguard import Decoding, Guard
from xmguard.bias import AttentionBias, HeadFactors
from xmguard.context import EncodedPrompt
from xmguard.contracts import Branch, Session
from xmguard.deadline import Stop
from xmguard.measurement import Measurement
from xmguard.planning import plan_bias
from xmguard.profile import Profile
from xmguard_research.analyses.following import source_followed
from xmguard_research.benchmarks.protocol import PROMPTS
from xmguard_research.benchmarks.settings import TOKENS
from xmguard_research.calibration.suite_cases import Asked
from xmguard_research.harm import BASELINE, parse_setting
from xmguard_research.results import append, known, producer

STANDARD = "standard"
"""The prompt under which it is looked at which answer is right, and which source is followed."""
_LEAST = 1e-12
"""Norm below which a source is taken to contribute this much: logarithms stay finite."""
Heads = list[list[float]]
"""Numbers indexed [layer][head]."""


@dataclass(frozen=True)
class Answered:
    """One response, and how evenly the sources were read for it."""

    key: str
    text: str
    applied: bool
    """Whether the policy planned a bias."""
    log_ratio: float | None
    """Nats, of the largest over the smallest contribution under the policy."""
    ratios: Heads
    """log(norm of the first source / of the second), without a bias; empty where no source's answer alone was given."""
    toward: Heads
    """Nats that both sources add to the first one's answer over the second one's, on the direct path."""
    produced_by: str


@dataclass(frozen=True)
class _Put:
    """A case under one prompt, and what is wanted of it."""

    prompt: str
    encoded: EncodedPrompt
    wanted: dict[str, str]
    """Settings to the keys of their rows."""

    def branch(self, setting: str, bias: AttentionBias) -> Branch:
        return Branch(f"{self.prompt} {setting}", self.encoded.joint_tail, bias, measured=True, answers=True)


class Answering:
    """Answers cases under settings, or finds the answers in its file."""

    def __init__(self, guard: Guard, path: Path, prompts: Sequence[str]) -> None:
        """`prompts` are asked beside `STANDARD`."""
        self._guard, self._path = guard, path
        self.prompts = tuple(dict.fromkeys((STANDARD, *prompts)))

    def under(
        self, settings: Sequence[str], cases: Sequence[Asked], heads: HeadFactors | None, description: str
    ) -> dict[tuple[str, str, str], Answered]:
        """Responses by setting, content of the case, and prompt.

        `heads` are the factors that every bias is multiplied by.
        """
        marks = {setting: _mark(setting, heads) for setting in settings}
        done = known(self._path, Answered, producer(self._guard))
        lacking = [
            one
            for one in {one.content: one for one in cases}.values()
            if any(_key(mark, one, prompt) not in done for mark in marks.values() for prompt in self.prompts)
        ]
        measure: Callable[[Asked], list[Answered]] = partial(self._answer, marks, heads, {*done})
        done |= {row.key: row for row in append(self._path, lacking, measure, description)}
        return {
            (setting, one.content, prompt): done[_key(mark, one, prompt)]
            for setting, mark in marks.items()
            for one in cases
            for prompt in self.prompts
        }

    def _answer(self, marks: dict[str, str], heads: HeadFactors | None, done: set[str], one: Asked) -> list[Answered]:
        contexts: dict[tuple[int, ...], list[_Put]] = {}  # prompts that differ in their tail alone share a context
        for prompt in self.prompts:
            wanted = {setting: _key(mark, one, prompt) for setting, mark in marks.items()}
            wanted = {setting: key for setting, key in wanted.items() if key not in done}
            if wanted:
                put = _Put(prompt, self._guard.backend.encode(one.context, PROMPTS[prompt]), wanted)
                contexts.setdefault(put.encoded.context_ids, []).append(put)
        rows = []
        for puts in contexts.values():
            session = self._guard.backend.open(puts[0].encoded, Stop())
            try:
                rows += self._put(session, puts, heads, one)
            finally:
                session.close()
        return rows

    def _put(self, session: Session, puts: Sequence[_Put], heads: HeadFactors | None, one: Asked) -> list[Answered]:
        plain = {put.prompt: put.branch(BASELINE, AttentionBias()) for put in puts}
        session.prepare(list(plain.values()))
        before = {prompt: session.measure(branch) for prompt, branch in plain.items()}
        read = {
            (put.prompt, setting): put.branch(setting, bias) if bias else plain[put.prompt]
            for put in puts
            for setting in put.wanted
            for bias in [self._bias(setting, before[put.prompt], heads)]
        }
        branches = {branch.name: branch for branch in read.values()}
        said: dict[str, list[int]] = {name: [] for name in branches}
        for token in session.decode(list(branches.values()), dict.fromkeys(branches, Decoding(max_tokens=TOKENS))):
            if not token.is_end:
                said[token.branch].append(token.id)
        rows = []
        for put in puts:
            for setting, key in put.wanted.items():
                branch, first = read[put.prompt, setting], plain[put.prompt]
                text = self._guard.backend.text(said[branch.name]).strip()
                measured = before[put.prompt] if branch is first else session.measure(branch)
                ratios: Heads = []
                toward: Heads = []
                known = setting == BASELINE and put.prompt == STANDARD
                if known and followed(self._guard, one, text) is not None:
                    ratios, toward = _ratios(measured), self._toward(session, first, one)
                made_by = producer(self._guard)
                rows.append(Answered(key, text, branch is not first, measured.log_ratio, ratios, toward, made_by))
        return rows

    def _bias(self, setting: str, before: Measurement, heads: HeadFactors | None) -> AttentionBias | None:
        wanted = parse_setting(setting)
        policy = self._guard.registry.policies.items[wanted.policy]
        return plan_bias(policy, before, wanted, Profile("calibrating", BASELINE, heads=heads)).bias

    def _toward(self, session: Session, plain: Branch, one: Asked) -> Heads:
        """By linearity the projection on the difference of the two answers; mean per token of each."""
        first, second = (session.directed(plain, self._guard.backend.ids(answer)).logits for answer in one.case.answers)
        return [
            [_short(sum(to_first[1:]) - sum(to_second[1:])) for to_first, to_second in zip(*layers, strict=True)]
            for layers in zip(first, second, strict=True)
        ]


def followed(guard: Guard, one: Asked, text: str) -> bool | None:
    """Whether a response gives the first source's answer, False for the second's; None for both, neither, or a control.

    A source that answers nothing is no source to follow, and neither is the other one then.
    """
    answers = one.case.answers
    if not one.case.conflict or len(answers) != 2 or not all(answer.strip() for answer in answers):
        return None
    source = source_followed(text, one.case, guard.registry)
    return None if source is None else source == 0


def _ratios(measured: Measurement) -> Heads:
    return [
        [_short(math.log(max(head[1], _LEAST) / max(head[2], _LEAST))) for head in layer] for layer in measured.norms
    ]


def _mark(setting: str, heads: HeadFactors | None) -> str:
    """A setting's name in keys. Without a bias there is nothing for factors to multiply."""
    if heads is None or setting == BASELINE:
        return setting
    return f"{setting}, heads {sha256(json.dumps(heads).encode()).hexdigest()[:8]}"


def _key(mark: str, one: Asked, prompt: str) -> str:
    return f"{mark}|{prompt}|{one.content}"


def _short(value: float) -> float:
    return float(f"{value:.5g}")
