"""Which requests can be answered together: those that read the same spans and ask the same of them.

Knows no engine: what a request reads is compared as token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from xmguard.context import EncodedPrompt
from xmguard.errors import FieldViolation, InvalidRequest
from xmguard.request import AnswerRequest

OWN = ("prompt", "rebalance", "decoding")
"""Fields in which requests that are answered together may differ."""


def alike(one: AnswerRequest, other: AnswerRequest) -> bool:
    """Can the two be answered together?"""
    return replace(one, **{name: getattr(other, name) for name in OWN}) == other


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
            f"requests[{number}].{field.name}",
            f"differs from the first request's; answered together are those that differ in {', '.join(OWN)} alone",
        )
        for number, request in enumerate(requests)
        for field in fields(AnswerRequest)
        if field.name not in OWN and getattr(request, field.name) != getattr(first, field.name)
    ]
    if wrong:
        raise InvalidRequest(wrong)


def require_same_reading(first: EncodedPrompt, other: EncodedPrompt) -> None:
    """Refuse a prompt that does not read the first one's context, and read its spans alone in the same way.

    Raises:
        InvalidRequest: it does not.
    """
    for what in ("context_ids", "span_map", "alone_tail", "probe_tail"):
        if getattr(first, what) != getattr(other, what):
            raise InvalidRequest.field("requests", f"this model's prompts differ in {what}; answer them one by one")
