"""From a loaded guard and the cases of a suite to a profile in a file, and a report beside it.

Three things are fitted on dev items alone: the verdict (`calibrating`), factors of the heads (`layers`), and a policy
for each way in which sources meet (`choosing`). What cannot be decided is left as the guard's profile has it, and said.
Policies are tried with the factors; these are written only together with a policy that was shown better in that way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from xmguard import Guard
from xmguard.bias import HeadFactors
from xmguard.calibration import VerdictProfile
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.guard import UNPROFILED
from xmguard.planning import check_profile
from xmguard.profile import Profile
from xmguard.request import Rebalance
from xmguard.response import ConflictVerdict
from xmguard_research.analyses.following import gives, written_in
from xmguard_research.analyses.opening import put
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.protocol import PROMPTS
from xmguard_research.calibration import tuning
from xmguard_research.calibration.answering import STANDARD, Answered, Answering, followed
from xmguard_research.calibration.calibrating import (
    copied_probe,
    fitted_verdict,
    gathered,
    refuse_others,
    write,
)
from xmguard_research.calibration.choosing import DETECTION, Choice, Outcome, choose
from xmguard_research.calibration.comparison import Said
from xmguard_research.calibration.gathering import TOO_LONG
from xmguard_research.calibration.layers import LEAST, RATIOS, TOWARD, Fitted, Prediction, Read, fit, judged
from xmguard_research.calibration.suite_cases import DEV, TEST, Asked, fitting
from xmguard_research.harm import BASELINE, parse_setting
from xmguard_research.judge.rules import RuleJudge
from xmguard_research.judge.values import Exchange
from xmguard_research.results import producer
from xmguard_research.verdict.pairs import Pair

SETTINGS = ("fixed epsilon=0.5", "fixed epsilon=1", "fixed epsilon=2", "target share=0.1", "target share=0.2")
"""Policies that are tried, the weakest of a kind first."""


@dataclass(frozen=True)
class Wanted:
    """What is to be tried, and what for."""

    suite: str
    """With its options, for people."""
    settings: tuple[str, ...] = SETTINGS
    prompts: tuple[str, ...] = (STANDARD, "instructed")
    aim: str = DETECTION
    least_pairs: int | None = None
    """See `tuning.plan`."""
    least_followed: int = LEAST


@dataclass(frozen=True)
class Judged:
    """What the verdict said of the pairs of one half, before and after."""

    pairs: tuple[Pair, ...]
    before: tuple[Said, ...]
    after: tuple[Said, ...]


@dataclass(frozen=True)
class Calibration:
    """A profile, and everything that is reported of it; by half where it is a mapping."""

    wanted: Wanted
    profile: Profile
    cases: Mapping[str, tuple[Asked, ...]]
    layers: Fitted
    tested: Prediction | None
    """How well the factors predict on test items; None without factors."""
    choices: tuple[Choice, ...]
    outcomes: Mapping[str, Mapping[str, tuple[tuple[Outcome, Outcome], ...]]]
    """By half and way of meeting: each response without a policy, and under the chosen one."""
    verdict: Mapping[str, Judged]
    """Empty where none was fitted."""
    notes: tuple[str, ...]

    def counted(self, half: str) -> str:
        """How much there is in a half."""
        own = self.cases[half]
        items = tuning.number(len({one.item for one in own}), "item")
        return f"{items}, {tuning.number(len(own), 'case')}"


def calibrated_on_suite(
    guard: Guard,
    cases: Mapping[str, Sequence[Case]],
    wanted: Wanted,
    out: Path,
    *,
    refit: bool = False,
    force: bool = False,
) -> Calibration:
    """Fit a profile to the dev cases, look at the test cases, and write the profile to `out`.

    What was gathered stays beside `out`, and is not asked for again.

    Raises:
        InvalidRequest: a setting is refused, nothing fits into the model's context, or a file is in the way that
            `force` would replace.
        ModalityNotSupported: the model does not read the pictures of a case.
    """
    _refuse_settings(guard, wanted.settings)
    answers = out.with_suffix(".answers.jsonl")
    refuse_others(answers, producer(guard), force=force)
    asked = {half: tuple(fitting(guard, own)) for half, own in cases.items()}
    if not asked[DEV]:
        raise InvalidRequest.field("--suite", "no dev case has two sources that fit into the model's context")
    left_out = sum(len(own) - len(asked[half]) for half, own in cases.items())
    notes = [f"{left_out} cases are left out: not two sources, or longer than the model's context"] if left_out else []

    verdict, said, told = _verdict(guard, asked, wanted, out, refit=refit, force=force)
    work = _Work(guard, Answering(guard, answers, wanted.prompts))
    known = work.answering.under([BASELINE], [*asked[DEV], *asked[TEST]], None, "answering")
    fitted = fit(work.reads(asked[DEV], known), wanted.least_followed)
    heads = fitted.heads or (None if guard.profile is None else guard.profile.heads)
    known |= work.answering.under(wanted.settings, asked[DEV], heads, "trying policies on dev")
    choices = []
    pairs = sorted({one.pair for one in asked[DEV]})
    for pair in pairs:
        own = [one for one in asked[DEV] if one.pair == pair]
        tried = {setting: work.outcomes(setting, own, known) for setting in (BASELINE, *wanted.settings)}
        choices.append(choose(pair, tried, wanted.aim, pairs=len(pairs)))
    chosen = {one.pair: one.setting for one in choices}
    for pair, setting in chosen.items():
        own = [one for one in asked[TEST] if one.pair == pair]
        known |= work.answering.under([setting], own, heads, f"{pair}: {setting} on test")
    written, told_of_heads = head_factors(fitted, UNPROFILED if guard.profile is None else guard.profile, chosen)
    profile = _profile(guard, out.stem, written, chosen, verdict)
    write(profile, guard, out)
    tested = None
    if fitted.heads is not None:
        tested = judged(work.reads(asked[TEST], known), fitted.heads, fitted.signal)
    return Calibration(
        wanted,
        profile,
        asked,
        fitted,
        tested,
        tuple(choices),
        {
            half: {
                pair: tuple(
                    zip(
                        work.outcomes(BASELINE, [one for one in own if one.pair == pair], known),
                        work.outcomes(setting, [one for one in own if one.pair == pair], known),
                        strict=True,
                    )
                )
                for pair, setting in chosen.items()
            }
            for half, own in asked.items()
        },
        said,
        (*notes, *told, fitted.note, *(choice.note for choice in choices), *told_of_heads),
    )


class _Work:
    """Reads responses."""

    def __init__(self, guard: Guard, answering: Answering) -> None:
        self.answering = answering
        self._guard = guard

    @cached_property
    def _judge(self) -> RuleJudge:
        return RuleJudge()

    def reads(self, cases: Sequence[Asked], known: Mapping[tuple[str, str, str], Answered]) -> list[Read]:
        """The conflicts of which one source's answer was given, without a bias."""
        found = []
        for one in cases:
            row = known[BASELINE, one.content, STANDARD]
            first = followed(self._guard, one, row.text)
            if first is not None:
                signals = {RATIOS: np.array(row.ratios), TOWARD: np.array(row.toward)}
                found.append(Read(one.item, first, signals))
        return found

    def outcomes(
        self, setting: str, cases: Sequence[Asked], known: Mapping[tuple[str, str, str], Answered]
    ) -> list[Outcome]:
        """What became of every case under every prompt, in one order."""
        return [
            self._outcome(one, prompt, known[setting, one.content, prompt])
            for one in cases
            for prompt in self.answering.prompts
        ]

    def _outcome(self, one: Asked, prompt: str, row: Answered) -> Outcome:
        registry = self._guard.registry
        task = put(registry, one.case.question, PROMPTS[prompt])
        answers = {answer for answer in one.case.answers if answer.strip()}
        asks = prompt == STANDARD and answers and not one.case.conflict
        return Outcome(
            one.item,
            prompt,
            one.case.variant,
            one.case.conflict,
            self._judge.judge(Exchange(task, row.text)).mentions_conflict,
            any(gives(row.text, answer, registry, written_in(one.case)) for answer in answers) if asks else None,
            row.log_ratio,
        )


def _verdict(
    guard: Guard, asked: Mapping[str, Sequence[Asked]], wanted: Wanted, out: Path, *, refit: bool, force: bool
) -> tuple[VerdictProfile | None, dict[str, Judged], tuple[str, ...]]:
    """The verdict of the profile to be, what it says of either half, and what was done."""
    pairs = {half: [one.labelled for one in own] for half, own in asked.items()}
    requests = {one.content: one.request for own in asked.values() for one in own}
    items = tuning.number(len({one.item for one in asked[DEV]}), "dev item")
    described = f"{len(pairs[DEV])} pairs, {items} of {wanted.suite}"
    try:
        made = fitted_verdict(
            guard,
            pairs[DEV],
            described,
            out,
            refit=refit,
            force=force,
            least=wanted.least_pairs,
            request=lambda pair: requests[pair.content],
        )
    except tuning.TooFewPairs as error:
        kept = None if guard.profile is None else guard.profile.verdict
        few = "; ".join(violation.description for violation in error.violations)
        notes = (f"verdict: left alone; {few}",)
        return (None if kept is None else replace(kept, probe=copied_probe(guard, out, force=force))), {}, notes
    shown = gathered(guard, pairs[TEST], made.features, out, request=lambda pair: requests[pair.content])
    test = [tuning.Case(pair, shown[pair.content]) for pair in pairs[TEST]]
    test = [case for case in test if case.shown.decision != TOO_LONG]
    said = {
        DEV: _judged(made.cases, [_said(made.held_out[case.pair.content]) for case in made.cases]),
        TEST: _judged(test, [_said(tuning.judged(case, made.weighing)) for case in test]),
    }
    return made.verdict, said, tuple(f"verdict: {note}" for note in made.notes)


def _said(verdict: ConflictVerdict) -> Said:
    return Said(verdict.decision.name, verdict.probability)


def _judged(cases: Sequence[tuning.Case], after: Sequence[Said]) -> Judged:
    before = tuple(Said(case.shown.decision, case.shown.probability) for case in cases)
    return Judged(tuple(case.pair for case in cases), before, tuple(after))


def head_factors(fitted: Fitted, start: Profile, chosen: Mapping[str, str]) -> tuple[HeadFactors | None, list[str]]:
    """The factors to write, and what is to be said of them; without a chosen policy, what the profile `start` has.

    A profile's factors multiply every bias: those of its policies, and those that a request asks for.
    """
    if fitted.heads is None:
        return start.heads, []
    won = [pair for pair, setting in chosen.items() if setting != BASELINE]
    if not won:
        return start.heads, ["factors of heads: left out; no policy was shown better than none with them"]
    shared = {**start.pairs, "any other pair": start.default(())}
    kept = [pair for pair, own in shared.items() if pair not in won and own.policy != BASELINE]
    note = (
        f"factors of heads: written, because the policy of {', '.join(won)} was shown better than none with them; "
        "whether it does better than without them was not tried. They multiply every bias that is asked for"
    )
    return fitted.heads, [f"{note}, also the policy of {', '.join(kept)}, which was not tried" if kept else note]


def _profile(
    guard: Guard, name: str, heads: HeadFactors | None, chosen: Mapping[str, str], verdict: VerdictProfile | None
) -> Profile:
    """The guard's profile with what was decided; where nothing was, it stays as it was."""
    start = UNPROFILED if guard.profile is None else guard.profile
    own = {pair: parse_setting(setting) for pair, setting in chosen.items() if setting != BASELINE}
    pairs = {pair: Rebalance(one.policy, one.parameters) for pair, one in own.items()}
    return replace(start, name=name, heads=heads, verdict=verdict, pairs={**start.pairs, **pairs})


def _refuse_settings(guard: Guard, settings: Sequence[str]) -> None:
    """Refuse what no profile could hold, before minutes are spent on it."""
    for setting in settings:
        if setting == BASELINE or settings.count(setting) > 1:
            raise InvalidRequest.field("--setting", f"{setting!r} is tried anyway; leave it out, or give each once")
        wanted = parse_setting(setting)
        try:
            check_profile(
                Profile(setting, wanted.policy, wanted.parameters), guard.model, guard.backend, guard.registry
            )
        except ModelRefused as error:
            raise InvalidRequest.field("--setting", f"{setting!r}: {'; '.join(error.reasons)}") from error
