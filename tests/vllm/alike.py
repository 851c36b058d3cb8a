"""Two responses to one request, of two engines: the same words, and numbers that differ by rounding."""

import pytest

NUMBERS = (
    "contribution_before",
    "contribution_after",
    "contribution_generated",
    "share_before",
    "share_after",
    "attention_before",
    "attention_after",
    "entropy_alone",
    "bias",
)


def close(found, wanted):
    """Equal but for rounding, or both absent."""
    return found is wanted is None or found == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def assert_alike(found, wanted):
    for name in ("answer", "raw_answer", "unbiased_answer", "finish_reason", "rebalancing", "warnings"):
        assert getattr(found, name) == getattr(wanted, name), name
    verdict, same = found.verdict, wanted.verdict
    for name in ("decision", "status", "calibrated", "groups", "model_reported"):
        assert getattr(verdict, name) == getattr(same, name), name
    assert close(verdict.probability, same.probability)
    quotes = [
        [(one.span_a, one.span_b, one.evidence_a, one.evidence_b) for one in each.disagreements]
        for each in (verdict, same)
    ]
    assert quotes[0] == quotes[1]
    for span, other in zip(found.spans, wanted.spans, strict=True):
        assert (span.span_id, span.tokens, span.answer_alone) == (other.span_id, other.tokens, other.answer_alone)
        for name in NUMBERS:
            assert close(getattr(span, name), getattr(other, name)), (span.span_id, name)
        for layer, same_layer in zip(span.layers, other.layers, strict=True):
            assert layer.heads_before == pytest.approx(same_layer.heads_before, rel=1e-4, abs=1e-6)
            assert layer.heads_after == pytest.approx(same_layer.heads_after, rel=1e-4, abs=1e-6)
