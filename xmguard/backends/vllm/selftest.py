"""Checks on the started engine itself that a bias does what it says; a model is not served before they pass.

The comparisons are with requests that vLLM reads as it always does, with shorter prompts, and with the closed form of
the equation in the first layer, whose queries and keys no bias changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from xmguard.backends.pictures import Picture
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.vllm.loaded import LoadedEngine
from xmguard.backends.vllm.session import VLLMSession
from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import EncodedPrompt, SpanMap, SpanTokens
from xmguard.contracts import Branch, SelfCheck, Token
from xmguard.deadline import Stop
from xmguard.measurement import Measurement
from xmguard.parts import ImagePart
from xmguard.request import Decoding, Prompt, Scope

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.25}
"""Largest difference in nats of the first token's log-probability; bfloat16 keeps 8 bits of every activation."""
MASS_TOLERANCE = {"float32": 1e-4, "bfloat16": 0.02}
"""Largest difference of an attention mass from the closed form."""
LIFT = 2.0
"""Nats."""
_SAID = ("The museum opened in 1962 on the north bank.", "The museum opened in 1975 on the north bank.")
_ASKED = "\n\nQuestion: When did the museum open?\nAnswer: It opened in"


def run(loaded: LoadedEngine, encoder: PromptEncoder, dtype: str) -> list[SelfCheck]:
    """Compare biased requests with plain ones at eps = 0 and -inf, and attention masses with Eq. 2 at eps = +2.

    The prompt begins with a span, so that what is read without it is the shorter prompt, only at later positions: that
    is the same to positions that count relatively. A model that reads pictures is tried with one in that place too.
    """
    first, second = (tuple(encoder.ids(text)) for text in _SAID)
    tail = tuple(encoder.ids(_ASKED))
    checks = _checks(loaded, first, second, tail, dtype)
    if encoder.reads_pictures:
        shown = _picture(encoder)
        of_picture = _checks(loaded, shown.ids, second, tail, dtype, (shown,))
        checks += [replace(check, name=f"a picture: {check.name}") for check in of_picture]
    return checks


def _checks(
    loaded: LoadedEngine,
    first: tuple[int, ...],
    second: tuple[int, ...],
    tail: tuple[int, ...],
    dtype: str,
    pictures: tuple[Picture, ...] | None = None,
) -> list[SelfCheck]:
    """Of two spans; the first one may be a picture."""
    spans = (SpanTokens("first", 0, len(first)), SpanTokens("second", len(first), len(first) + len(second)))
    prompt = _prompt((*first, *second), spans, tail, pictures)
    session = VLLMSession(loaded, prompt, Stop())
    try:
        zero = _first_token(session, Branch("zero", tail, AttentionBias({"first": 0.0}), measured=True))
        removed = _first_token(session, Branch("removed", tail, AttentionBias({"first": REMOVE}, Scope.ALL)))
        rows = [
            session.measure(Branch(f"eps = {epsilon}", tail[-1:], AttentionBias({"first": epsilon}), measured=True))
            for epsilon in (0.0, LIFT, REMOVE)
        ]
    finally:
        session.close()
    plain = _plain(loaded, (*first, *second, *tail), pictures)
    shorter = _plain(loaded, (*second, *tail))
    return [
        _same("eps = 0 changes nothing", "a plain request", zero, plain, TOLERANCE[dtype]),
        _same("eps = -inf removes", "a prompt without the span", removed, shorter, TOLERANCE[dtype]),
        *_lifted(*rows, tolerance=MASS_TOLERANCE[dtype]),
    ]


def _picture(encoder: PromptEncoder) -> Picture:
    """A picture at the beginning of a prompt."""
    part = ImagePart(96, 64, bytes(index % 251 for index in range(3 * 96 * 64)))
    shown: Picture = encoder.encode_parts([("first", [part])], "", Prompt.STANDARD).media[0]
    return shown.at(0)


def _prompt(
    context: tuple[int, ...],
    spans: tuple[SpanTokens, ...],
    tail: tuple[int, ...],
    pictures: tuple[Picture, ...] | None = None,
) -> EncodedPrompt:
    return EncodedPrompt(context, SpanMap(spans, len(context)), tail, tail, media=pictures)


def _first_token(session: VLLMSession, branch: Branch) -> Token:
    return next(session.decode([branch], {branch.name: Decoding(max_tokens=1)}))


def _plain(loaded: LoadedEngine, ids: tuple[int, ...], pictures: tuple[Picture, ...] | None = None) -> Token:
    """What vLLM itself says first."""
    span = SpanTokens("all", 0, len(ids) - 1)
    session = VLLMSession(loaded, _prompt(ids[:-1], (span,), ids[-1:], pictures), Stop())
    try:
        return session.unread()
    finally:
        session.close()


def _same(name: str, compared: str, found: Token, wanted: Token, tolerance: float) -> SelfCheck:
    assert found.logprob is not None
    assert wanted.logprob is not None
    gap = abs(found.logprob - wanted.logprob)
    if found.id != wanted.id and gap > tolerance:
        return SelfCheck(name, False, f"says token {found.id}, {compared} says {wanted.id}")
    return SelfCheck(name, gap <= tolerance, f"differs from {compared} by {gap:.1e} nats, allowed {tolerance}")


def _lifted(plain: Measurement, lifted: Measurement, removed: Measurement, *, tolerance: float) -> Sequence[SelfCheck]:
    """One row each, under eps = 0, `LIFT` and -inf on the first span."""
    gaps = []
    for before, after in zip(plain.masses[0], lifted.masses[0], strict=True):
        odds = before[1] * math.exp(LIFT)
        gaps.append(abs(after[1] - odds / (1.0 - before[1] + odds)))
    masses = [one.attention["first"] for one in (plain, lifted, removed)]
    return [
        SelfCheck(
            "eps = +2 is Eq. 2",
            max(gaps) <= tolerance,
            f"attention masses differ from the closed form by {max(gaps):.1e}, allowed {tolerance}",
        ),
        SelfCheck(
            "the bias moves attention",
            masses[2] == 0.0 < masses[0] < masses[1],
            "mass of the span: {:.3f} without bias, {:.3f} at +2, {:.3f} removed".format(*masses),
        ),
    ]
