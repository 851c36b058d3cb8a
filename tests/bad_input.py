"""A request that is answered, and what is refused of it: through every engine with the same codes and fields."""

import math
from dataclasses import replace

from xmguard import AnswerRequest, Decoding, Detail, Media, Rebalance, Span

CONFLICT = AnswerRequest(
    spans=(
        Span(text="The mayor said that 340 people were evacuated before the storm."),
        Span(text="According to the coast guard, 90 people were brought to safety before the storm."),
    ),
    question="How many people were evacuated?",
    decoding=Decoding(max_tokens=12),
    detail=Detail(alone_answers=True),
)

BAD = {
    "empty question": (replace(CONFLICT, question=""), "question"),
    "no spans": (replace(CONFLICT, spans=()), "spans"),
    "65 spans": (replace(CONFLICT, spans=CONFLICT.spans[:1] * 65), "spans"),
    "duplicate ids": (replace(CONFLICT, spans=(Span("a", "x"), Span("a", "y"))), "spans[1].id"),
    "media without a plugin": (
        replace(CONFLICT, spans=(*CONFLICT.spans, Span(media=Media("image/png", b"\x89PNG")))),
        "spans[2].media.media_type",
    ),
    "bias on no span": (
        replace(CONFLICT, rebalance=Rebalance("fixed", bias={"z": 1.0})),
        'rebalance.bias["z"]',
    ),
    "NaN bias": (replace(CONFLICT, rebalance=Rebalance("fixed", bias={"s1": math.nan})), 'rebalance.bias["s1"]'),
    "bias out of range": (replace(CONFLICT, rebalance=Rebalance("fixed", bias={"s1": 21.0})), 'rebalance.bias["s1"]'),
    "unknown policy": (replace(CONFLICT, rebalance=Rebalance("magic")), "rebalance.policy"),
    "unknown parameter": (replace(CONFLICT, rebalance=Rebalance("none", {"x": 1.0})), 'rebalance.parameters["x"]'),
    "past the context": (replace(CONFLICT, spans=(Span(text="word " * 9000), CONFLICT.spans[1])), "spans"),
}
