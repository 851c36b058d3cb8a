"""Steps 7 and 8 of an answer: from the verdict and the decoded tokens to what is shown, and the response.

Knows no engine and no policy, and decides nothing about the verdict.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace

from xmguard.alone import AloneReading, answer_language
from xmguard.contracts import Backend, Branch, Token
from xmguard.evidence import AnswerKind
from xmguard.plugins import Registry
from xmguard.reports import imbalance
from xmguard.request import OnConflict, OnError, Prompt
from xmguard.response import (
    AnswerResponse,
    ConflictVerdict,
    Decision,
    Delta,
    Done,
    FinishReason,
    Stamp,
    Status,
)
from xmguard.run import Run
from xmguard.text_stream import TextStream
from xmguard.verdict.composition import abstention, closed, preface

log = logging.getLogger(__name__)


def finish(
    run: Run,
    alone: AloneReading,
    verdict: ConflictVerdict,
    tokens: Iterator[Token],
    backend: Backend,
    registry: Registry,
    stamp: Stamp,
) -> Iterator[Delta | Done]:
    """The answer as it is shown, and the response.

    Args:
        run: measured.
        alone: finished, if the run needs it.
        verdict: of the run's spans.
        tokens: those of the run's branches, and perhaps others.
        backend: that decodes.
        registry: the plugins.
        stamp: what produces the numbers.
    """
    rebalanced = run.measured
    withheld = _withheld(run, verdict)
    if withheld is not None and run.request.detail.unbiased_answer:
        run.warnings.append("unbiased_answer is withheld together with the answer")
    raw = unbiased = shown = ""
    ended = FinishReason.LENGTH if withheld is None else withheld
    if ended is FinishReason.ABSTAINED:
        shown = abstention(verdict, run.valid.context.spans)
        yield run.delta(shown)
    elif ended is FinishReason.CLOSED:
        shown = closed(verdict)
        yield run.delta(shown)
    else:
        if verdict.decision is Decision.CONFLICT and run.request.on_conflict is OnConflict.REPORT:
            shown = preface(verdict, run.valid.context.spans) + "\n\n"
            yield run.delta(shown)
        words = {branch.name: TextStream(backend.text) for branch in (rebalanced.joint, rebalanced.unbiased)}
        for token in tokens:
            if token.branch not in words:
                continue
            text = words[token.branch].push(token)
            if token.branch == rebalanced.joint.name:
                run.say(token)
                ended = FinishReason.STOP if token.is_end else ended
                if text:
                    yield run.delta(text)
        raw = words[rebalanced.joint.name].text
        shown += raw
        if run.request.detail.unbiased_answer:
            unbiased = words[rebalanced.unbiased.name].text
        if ended is FinishReason.STOP:  # of an answer that was cut nothing is known
            verdict = replace(verdict, model_reported=_reported(run, raw, registry))

    # Tokens were read with the bias also where their text is white space alone, and nothing of it is shown.
    if any(not token.is_end for token in run.said) and rebalanced.after is not None:
        run.generated = run.session.generated(rebalanced.joint)
    if run.request.detail.toward_answer and rebalanced.after is not None:
        _direct(run, rebalanced.joint)
    yield Done(
        AnswerResponse(
            request_id=run.request_id,
            answer=shown,
            raw_answer=raw,
            verdict=verdict,
            spans=run.reports(rebalanced, alone),
            imbalance=imbalance(rebalanced.before, rebalanced.after),
            rebalancing=run.rebalancing(rebalanced),
            usage=run.usage(),
            warnings=tuple(run.warnings),
            unbiased_answer=unbiased,
            finish_reason=ended,
            served_by=stamp,
        )
    )


def _direct(run: Run, joint: Branch) -> None:
    """The contributions toward the answer, or a warning why there are none."""
    answer = [token.id for token in run.said if not token.is_end]
    if not answer:
        run.warnings.append("detail.toward_answer: there is no answer to point to; the field is absent")
        return
    try:
        run.directed = run.session.directed(joint, answer)
    except NotImplementedError as error:
        run.warnings.append(f"detail.toward_answer: {error}; the field is absent")


def _withheld(run: Run, verdict: ConflictVerdict) -> FinishReason | None:
    """Why the model's words are not shown, or None."""
    if verdict.decision is Decision.CONFLICT and run.request.on_conflict is OnConflict.ABSTAIN:
        return FinishReason.ABSTAINED
    established = verdict.status is Status.OK and verdict.decision is not Decision.UNDETERMINED
    if not established and run.request.on_error is OnError.CLOSED:
        return FinishReason.CLOSED
    return None


def _reported(run: Run, raw: str, registry: Registry) -> bool | None:
    """Whether the joint answer itself says that the sources disagree; None, with a warning, if that failed."""
    context = run.valid.context
    languages = [answer_language(registry, span.language, context.asked_in) for span in context.spans]
    languages.append(registry.languages.items[context.asked_in])
    try:
        reported = any(language.reports_conflict(raw) for language in languages)
        if run.request.prompt is Prompt.EXPLICIT:  # asked whether the answers would be the same; "no" reports it
            first = re.split(r"[.,;:!\n]", raw, maxsplit=1)[0]
            claim = languages[-1].normalize(first)
            reported = reported or (claim.kind is AnswerKind.BOOLEAN and claim.value == "no")
    except Exception:  # a language plugin may raise anything; the answer is finished and stays
        log.exception("reading the answer of request %s failed", run.request_id)
        run.warnings.append("verdict.model_reported: a language plugin failed; the server's log says where")
        return None
    return reported
