"""What a checkpoint says and reads where it is asked: its own words, judged, and what each source contributed.

Asks through the guard's encoding and the guard's own joint reading, so that what is measured is what is served; reaches
no verdict, which is nine tenths of a request's time. All prompts of a case are read on one prefilled context. Answers
are kept line by line: the same call asks only what is missing. Knows no training.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic

import typer

from xmguard import AnswerRequest, Decoding, Guard, Rebalance
from xmguard.context import ENGLISH
from xmguard.deadline import Stop
from xmguard.run import Run
from xmguard.together import require_same_reading
from xmguard.verdict.equality import Agreement, compare
from xmguard_research.analyses.opening import put
from xmguard_research.benchmarks.protocol import PROMPTS
from xmguard_research.harm import is_right
from xmguard_research.judge.rules import RuleJudge
from xmguard_research.judge.values import Exchange
from xmguard_research.mixing.folders import held, told
from xmguard_research.mixing.posing import Posed
from xmguard_research.results import append, ended_lines, known, producer

RESPONSES = "responses.jsonl"
TOKENS = 48
"""That a response may have: room for what two sources say, a date each, and whether they agree."""
_DIGITS = 8
_RIGHT = 2
"""Raised when other words become right or wrong; 1 was not written down."""


@dataclass(frozen=True)
class Response:
    """One case under one prompt."""

    key: str
    produced_by: str
    suite: str
    task: str
    """As `Posed.task`."""
    case: str
    item: str
    """Topic or triple: its rows are drawn together."""
    variant: str
    """Labels without regard to order."""
    labels: list[str]
    """Language or modality of each source, in the order in which they are read."""
    prompt: str
    conflict: bool
    words: str
    """The model's own."""
    reported: bool | None
    """Whether they report a conflict; None where the judge cannot say."""
    reason: str
    """Words that the judge went by."""
    expected: str
    """Empty where a conflict was asked for."""
    exact: bool | None
    """Whether the words make the expected claim and no other; None where a conflict was asked for.

    Of words that tell each source, what they say that sources answer: `Source 1: 670 meters.` claims `670 meters`.
    """
    holds: bool | None
    """Whether they make it, or hold the expected answer word for word; None where a conflict was asked for."""
    tokens: list[int]
    """Of each source."""
    norms: list[float]
    """Contribution of each source: mean ||u|| over layers, heads and the prompt's reader rows."""


def evaluate(guard: Guard, every: Iterable[Posed], folder: Path) -> list[Response]:
    """Every case under every prompt, in order; those that the folder has are not asked again.

    Args:
        guard: with the checkpoint.
        every: what is asked.
        folder: of `RESPONSES`.

    Raises:
        InvalidRequest: a case cannot be asked of this model, it is named; or another process writes into the folder.
        XmguardError: the folder cannot be written.
        typer.BadParameter: the folder holds what another checkpoint, setting or version said.
    """
    with held(folder, "written"):
        return _evaluated(guard, list(every), folder / RESPONSES)


def _evaluated(guard: Guard, wanted: list[Posed], path: Path) -> list[Response]:
    origin = made_by(guard)
    done = known(path, Response, origin)
    keys = [{name: key(posed, name) for name in posed.prompts} for posed in wanted]
    missing = []
    for posed, own in zip(wanted, keys, strict=True):
        names = tuple(name for name in posed.prompts if own[name] not in done)
        if names:
            missing.append(replace(posed, prompts=names))
    judge = RuleJudge()
    with told(path, "What was answered before is kept; the same command goes on"):
        asked = append(path, missing, lambda posed: respond(guard, posed, origin, judge), f"asking {guard.model}")
        done |= {row.key: row for row in asked}
    return [done[name] for own in keys for name in own.values()]


def answered(folder: Path) -> dict[str, Response]:
    """What a folder has, by key, also while more is asked; nothing where there is no such folder.

    Raises:
        typer.BadParameter: it holds something else.
    """
    path = folder / RESPONSES
    if not path.is_file():
        return {}
    try:
        return {row["key"]: Response(**row) for row in ended_lines(path)}
    except (TypeError, KeyError) as error:
        raise typer.BadParameter(
            f"{path} holds rows of another version ({error}); remove its folder, and evaluate again"
        ) from error


def made_by(guard: Guard) -> str:
    """What makes a response what it is: weights and adapters, dtype, version, length, and how it is judged."""
    return f"{producer(guard)} {TOKENS} tokens {RuleJudge.produced_by} right {_RIGHT}"


def manner(response: Response) -> str:
    """The same without weights and adapters: in which manner it was asked for."""
    return response.produced_by.partition(" ")[2]


def stamped(guard: Guard) -> dict[str, str]:
    """What numbers were measured on, for files: weights and adapters by their hash, dtype, and version."""
    stamp = guard.stamp
    return {"model_hash": stamp.model_hash, "dtype": stamp.dtype, "version": stamp.xmguard_version}


def respond(guard: Guard, posed: Posed, produced_by: str, judge: RuleJudge) -> list[Response]:
    """One case under its prompts: one prefill, one batch of tails, one batch of answers."""
    decoding = Decoding(max_tokens=TOKENS)
    encoded = {name: guard.prepare(_request(posed, name, decoding)) for name in posed.prompts}
    first = next(iter(encoded.values())).prompt
    stop = Stop()
    session = guard.backend.open(first, stop)
    try:
        runs = {}
        for name, ready in encoded.items():
            valid, prompt = ready.valid, ready.prompt
            require_same_reading(first, prompt)
            runs[name] = Run("", valid, prompt, session, stop, 0.0, monotonic(), suffix=f":{name}").unbiased
        branches = list(runs.values())
        session.prepare(branches)
        measured = {name: session.measure(branch) for name, branch in runs.items()}
        said: dict[str, list[int]] = {branch.name: [] for branch in branches}
        for token in session.decode(branches, dict.fromkeys(said, decoding)):
            if not token.is_end:
                said[token.branch].append(token.id)
    finally:
        session.close()
    found = []
    for name, branch in runs.items():
        words = guard.backend.text(said[branch.name]).strip()
        spans = measured[name].span_map
        judged = judge.judge(Exchange(put(guard.registry, posed.case.question, PROMPTS[name]), words))
        exact, holds = _right(guard, words, posed.expected)
        found.append(
            Response(
                key=key(posed, name),
                produced_by=produced_by,
                suite=posed.suite,
                task=posed.task,
                case=posed.case.id,
                item=posed.case.item,
                variant=posed.variant,
                labels=list(posed.labels),
                prompt=name,
                conflict=posed.case.conflict,
                words=words,
                reported=judged.mentions_conflict,
                reason=judged.reason,
                expected=posed.expected,
                exact=exact,
                holds=holds,
                tokens=[len(span) for span in spans],
                norms=[float(f"{measured[name].contributions[span]:.{_DIGITS}g}") for span in spans.ids],
            )
        )
    return found


def _request(posed: Posed, prompt: str, decoding: Decoding) -> AnswerRequest:
    return AnswerRequest(
        spans=posed.case.spans,
        question=posed.case.question,
        prompt=PROMPTS[prompt],
        rebalance=Rebalance("none"),
        decoding=decoding,
    )


def key(posed: Posed, prompt: str) -> str:
    """Identifies what is asked: a case of the same name with another text is another one."""
    told = sha256("\0".join((posed.case.question, posed.expected)).encode())
    for span in posed.case.spans:
        told.update(b"\0" + (span.text or "").encode() + (b"" if span.media is None else span.media.data))
    return f"{posed.suite}/{posed.case.id}#{told.hexdigest()[:8]}|{prompt}"


def _right(guard: Guard, words: str, expected: str) -> tuple[bool | None, bool | None]:
    if not expected:
        return None, None
    from xmguard_research.mixing.generators.replies import claims

    language = guard.registry.languages.items[ENGLISH]
    wanted, made = language.normalize(expected), claims(words)
    exact = bool(made) and all(compare(language.normalize(one), wanted) is Agreement.SAME for one in made)
    return exact, any(is_right(one, expected, language) for one in made)
