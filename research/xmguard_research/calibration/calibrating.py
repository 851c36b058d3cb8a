"""From a loaded guard and labelled pairs to a verdict, and a profile in a file: gathers, fits, compares, writes.

What is fitted and how is `tuning`'s business.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from xmguard import AnswerRequest, Guard
from xmguard.calibration import FittedFor, ProbeSource, VerdictProfile, language_pair
from xmguard.cli.flags import refuse_unwritable
from xmguard.cli.terminal import progress
from xmguard.errors import InvalidRequest
from xmguard.guard import UNPROFILED
from xmguard.language_tags import language_of
from xmguard.profile import Profile
from xmguard.profile_reader import read_profile
from xmguard.response import ConflictVerdict
from xmguard_research.calibration import tuning
from xmguard_research.calibration.comparison import Said
from xmguard_research.calibration.gathering import TOO_LONG, Gathered, gather, made_with
from xmguard_research.calibration.labelled import with_languages
from xmguard_research.calibration.profiles import to_json
from xmguard_research.results import lines
from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.requests import request_of

COSTLY = frozenset({"yes_no", "isolated_drop", "steered_flip", "directed_pull"})
"""Features that run many more rows than a verdict needs; weighed only by a profile that has them already."""
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class Calibrated:
    """A profile that was written, and what it is worth."""

    profile: Profile
    """As it was fitted; the file keeps `profiles.DIGITS` digits of it."""
    pairs: tuple[Pair, ...]
    before: tuple[Said, ...]
    """On each pair, by the guard's own verdict."""
    after: tuple[Said, ...]
    """On each pair, by a fit that has seen none of its fold."""
    notes: tuple[str, ...]
    """What was fitted, kept and left out, in words."""


@dataclass(frozen=True)
class FittedVerdict:
    """A verdict that was fitted to pairs, and what they said."""

    verdict: VerdictProfile
    """Its probe lies beside the profile to be."""
    cases: tuple[tuning.Case, ...]
    """Pairs that fit into the model's context."""
    held_out: Mapping[str, ConflictVerdict]
    """On each pair, by its content, by a fit that has seen none of its fold."""
    features: tuple[str, ...]
    """That were gathered."""
    notes: tuple[str, ...]

    @property
    def weighing(self) -> tuning.Weighing:
        """Its fits and bounds."""
        return tuning.Weighing(self.verdict.conflict, self.verdict.comparable, self.verdict.bounds)


def refuse_existing(out: Path, *, force: bool) -> None:
    """Refuse a file that could not become a profile, before minutes are spent on it.

    Raises:
        InvalidRequest: it is there already, cannot be written, or is not named as a profile has to be.
    """
    if out.suffix != ".json" or out.name.startswith("."):
        raise InvalidRequest.field("--out", f"{out} is no file name that ends in .json")
    if out.exists() and not force:
        raise InvalidRequest.field("--out", f"{out} is there already; give --force to replace it, or another name")
    refuse_unwritable("--out", str(out))


def calibrated(
    guard: Guard,
    pairs: Sequence[Pair],
    described: str,
    out: Path,
    *,
    refit: bool = False,
    force: bool = False,
    least: int | None = None,
) -> Calibrated:
    """Calibrate the guard's verdict on the pairs and write the profile to `out`.

    The weights of a verdict that was fitted to the guard's model are kept and put on a new scale, unless `refit`. The
    rest of its profile stays as it is. `least`: see `tuning.plan`.

    Raises:
        InvalidRequest: there are too few pairs, or a file in the way that `force` would replace.
    """
    made = fitted_verdict(guard, pairs, described, out, refit=refit, force=force, least=least)
    profile = _profile(guard, out.stem, made.verdict)
    write(profile, guard, out)
    verdicts = [made.held_out[case.pair.content] for case in made.cases]
    return Calibrated(
        profile,
        tuple(case.pair for case in made.cases),
        tuple(Said(case.shown.decision, case.shown.probability) for case in made.cases),
        tuple(Said(verdict.decision.name, verdict.probability) for verdict in verdicts),
        made.notes,
    )


def fitted_verdict(
    guard: Guard,
    pairs: Sequence[Pair],
    described: str,
    out: Path,
    *,
    refit: bool = False,
    force: bool = False,
    least: int | None = None,
    request: Callable[[Pair], AnswerRequest] = request_of,
) -> FittedVerdict:
    """Fit the guard's verdict to the pairs; what is gathered stays beside `out`. Arguments are those of `calibrated`.

    Raises:
        InvalidRequest: as `calibrated`; `tuning.TooFewPairs` before the model has read any.
    """
    start = _fitted_for(guard)
    anew = refit or start is None
    features = _features(guard, start, anew)
    copied = copied_probe(guard, out, force=force)
    labelled = with_languages(pairs, partial(language_of, registry=guard.registry))
    directions: tuning.Directions = {
        target: {name: getattr(guard.registry.evidence_features.items[name], target) for name in features}
        for target in tuning.TARGETS
    }
    chosen = directions if anew else None
    tuning.plan([_if_all_goes_well(pair) for pair in labelled], start, chosen, least=least)
    shown = gathered(guard, labelled, features, out, force=force, request=request)
    cases = [tuning.Case(pair, shown[pair.content]) for pair in labelled if shown[pair.content].decision != TOO_LONG]

    wanted = tuning.plan(cases, start, chosen, least=least)
    with progress("fitting") as step:
        try:
            fitted = tuning.weighed(cases, wanted)
            step("cross-validating")
            held_out = tuning.out_of_fold(cases, wanted)
        except ValueError as error:  # what fitting says of pairs that no weights can be had from
            raise InvalidRequest.field("--pairs", str(error)) from error
    stamp = guard.stamp
    how = "all weights fitted" if anew or guard.profile is None else f"recalibrated from {guard.profile.name}"
    verdict = tuning.profile(
        fitted,
        FittedFor(guard.backend.evidence_hash, stamp.engine, stamp.dtype),
        f"{described}, {datetime.now(UTC).date()}, {how}",
    )
    fresh = {language_pair(*case.pair.languages) for case in cases}
    # A start that does not tell its languages leaves the new ones untold too: nothing may be excluded by it.
    known = fresh if start is None else fresh | set(start.languages) if start.languages else set()
    languages = tuple(sorted(known))
    shown_as = {name for case in cases for name in case.pair.modalities}
    modalities = tuple(sorted(shown_as | set(start.modalities if start else ())))
    return FittedVerdict(
        replace(verdict, probe=copied, languages=languages, modalities=modalities),
        tuple(cases),
        held_out,
        features,
        (*_notes(guard, start, labelled, cases), *wanted.notes, _bounds(verdict)),
    )


def gathered(
    guard: Guard,
    pairs: Sequence[Pair],
    features: Sequence[str],
    out: Path,
    *,
    force: bool = False,
    request: Callable[[Pair], AnswerRequest] = request_of,
) -> dict[str, Gathered]:
    """The features of every pair, by its content, from the file beside `out` or from the model.

    Raises:
        InvalidRequest: the file was gathered in other settings, unless `force`.
    """
    path = out.with_suffix(".gathered.jsonl")
    identity = "no profile" if guard.profile is None else _digest(json.dumps(to_json(guard.profile)).encode())
    refuse_others(path, made_with(guard, features, identity), force=force)
    return gather(guard, pairs, features, path, suffix=identity, request=request)


def copied_probe(guard: Guard, out: Path, *, force: bool) -> ProbeSource | None:
    """The guard's probe as it will lie beside `out`; None without one.

    Raises:
        InvalidRequest: something lies there already, unless `force`.
    """
    probe = None if guard.profile is None or guard.profile.verdict is None else guard.profile.verdict.probe
    if probe is None:
        return None
    copied = replace(probe, folder=out.parent / f"{out.stem}-adapter")
    if copied.folder.exists() and not force and not _same(copied.folder, probe.folder):
        raise InvalidRequest.field("--out", f"{copied.folder} is there already; give --force, or another name")
    return copied


def _fitted_for(guard: Guard) -> VerdictProfile | None:
    """The verdict that was fitted to the guard's model, in whatever dtype."""
    verdict = None if guard.profile is None else guard.profile.verdict
    if verdict is None:
        return None
    known, read_from = verdict.fitted_for, guard.backend.evidence_hash
    return verdict if (known.model_hash, known.engine) == (read_from, guard.stamp.engine) else None


def _features(guard: Guard, start: VerdictProfile | None, anew: bool) -> tuple[str, ...]:
    known = () if start is None else start.features
    if not anew:
        return known
    return tuple(sorted({*known, *guard.registry.evidence_features.names()} - (COSTLY - {*known})))


def _if_all_goes_well(pair: Pair) -> tuning.Case:
    """The pair with some feature: too few labels can be told before the model has read anything."""
    return tuning.Case(pair, Gathered(pair.content, {"": 0.0}, False, None, "", ""))


def refuse_others(path: Path, made_by: str, *, force: bool) -> None:
    """Refuse to go on with rows that were made otherwise; with `force` they are deleted.

    Raises:
        InvalidRequest: there are such rows.
    """
    if path.exists() and any(line["produced_by"] != made_by for line in lines(path)):
        if not force:
            raise InvalidRequest.field(
                "--out",
                f"{path} holds what was gathered in other settings (model, dtype, profile or --refit); "
                "give --force to gather anew, or another name",
            )
        path.unlink()


def _profile(guard: Guard, name: str, verdict: VerdictProfile) -> Profile:
    if guard.profile is None:
        return Profile(name, UNPROFILED.policy, verdict=verdict)
    return replace(guard.profile, name=name, verdict=verdict)


def write(profile: Profile, guard: Guard, out: Path) -> None:
    """Write a profile of the guard's model, with the adapter of its probe beside it."""
    probe = None if guard.profile is None or guard.profile.verdict is None else guard.profile.verdict.probe
    copied = None if profile.verdict is None else profile.verdict.probe
    if copied and probe and not _same(copied.folder, probe.folder):
        copied.folder.mkdir(exist_ok=True)
        for name in ADAPTER_FILES:
            shutil.copyfile(probe.folder / name, copied.folder / name)
    out.write_text(json.dumps(to_json(profile), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    read_profile(out)  # a profile that would be refused when it is used is refused now


def _notes(
    guard: Guard, start: VerdictProfile | None, pairs: Sequence[Pair], cases: Sequence[tuning.Case]
) -> list[str]:
    notes = []
    if start is None and guard.profile is not None:
        notes.append("the profile has no verdict fitted to this model: all weights are fitted")
    if start is not None and start.fitted_for.dtype != guard.stamp.dtype:
        notes.append(f"the profile's verdict was fitted for {start.fitted_for.dtype}: probabilities before are others")
    if len(cases) < len(pairs):
        notes.append(f"{len(pairs) - len(cases)} pairs do not fit into the model's context and are left out")
    silent = sum(not case.shown.values for case in cases)
    if silent:
        notes.append(f"{silent} pairs say nothing to a fit, since the model finds no answer in one of the texts")
    return notes


def _bounds(verdict: VerdictProfile) -> str:
    bounds = verdict.bounds
    both = f"; both texts must answer with one of at least {bounds.comparable_above:.2f}" if verdict.comparable else ""
    return (
        f"bounds of all pairs: CONFLICT takes a probability above {bounds.conflict_above:.2f}, CONSISTENT one below "
        f"{bounds.agreement_below:.2f}{both}"
    )


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]
