"""Which requests can be answered together: those that read the same spans and ask the same of them.

Knows no engine: what a request reads is compared as token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from xmguard.context import EncodedPrompt
from xmguard.errors import FieldViolation, InvalidRequest
from xmguard.request import AnswerRequest

OWN = ("prompt", "rebalance", "decoding")
"""Fields in which requests that are answered together may differ."""


def alike(one: AnswerRequest, other: AnswerRequest) -> bool:
    """Can the two be answered together?"""
    return not _differing(one, other)


def require_alike(requests: Sequence[AnswerRequest]) -> None:
    """Refuse requests that cannot be answered together.

    Raises:
        InvalidRequest: there are none, or some differ from the first in other fields than `OWN`; all are listed.
    """
    if not requests:
        raise InvalidRequest.field("requests", "there are none")
    first = requests[0]
    wrong = [
        FieldViolation(
            f"requests[{number}].{name}",
            f"differs from the first request's; answered together are those that differ in {', '.join(OWN)} alone",
        )
        for number, request in enumerate(requests)
        for name in _differing(first, request)
    ]
    if wrong:
        raise InvalidRequest(wrong)


def _differing(one: AnswerRequest, other: AnswerRequest) -> list[str]:
    """Fields but `OWN` in which the two differ."""
    names = (field.name for field in fields(AnswerRequest) if field.name not in OWN)
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def require_same_reading(first: EncodedPrompt, other: EncodedPrompt) -> None:
    """Refuse a prompt that does not read the first one's context, and read its spans alone in the same way.

    Raises:
        InvalidRequest: it does not.
    """
    for what in ("context_ids", "span_map", "alone_tail", "probe_tail"):
        if getattr(first, what) != getattr(other, what):
            raise InvalidRequest.field("requests", f"this model's prompts differ in {what}; answer them one by one")
