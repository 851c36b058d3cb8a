"""The tests that every evidence feature passes, the built-in ones too.

    from xmguard.testing import AnsweredSpan, EvidenceCase, FeatureContract

    class TestMine(FeatureContract):
        feature = Mine()
        cases = [
            EvidenceCase(
                "When does the ferry leave?",
                (AnsweredSpan("It leaves at 8:15.", "8:15"), AnsweredSpan("It leaves at 9:40.", "at 9:40")),
            )
        ]

Features are measured as the guard measures them. Knows no feature.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import ClassVar

import pytest

from xmguard.contracts import EvidenceFeature
from xmguard.featuring import RequestReading, orders_probed
from xmguard.sizes import FeatureSizes, RunningFeature
from xmguard.testing.contract import Contract, parametrized
from xmguard.testing.evidence import AnsweredSpan, EvidenceCase
from xmguard.usage import SessionUsage

Values = Mapping[tuple[str, str], float]
NEAR = 1e-4
"""By how much values may differ that are the same: batches of another order round otherwise."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ODD = ("a", "b:c", "a:b", "c", "d', 'e", "f, g")
"""Ids that make one name of two pairs where they are joined by a mark."""
_SILENT = AnsweredSpan("Nothing is said here.", "")


class FeatureContract(Contract):
    """Inherit, set `feature` and `cases`, and pytest collects the rest."""

    feature: ClassVar[EvidenceFeature]
    cases: ClassVar[Sequence[EvidenceCase]]
    """Questions with at least two spans that answer otherwise; in one of them at least the feature has a value."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per case."""
        self.check_attributes()
        parametrized(metafunc, "case", self.cases, [case.question for case in self.cases])

    def test_it_describes_itself(self) -> None:
        """A name that profiles can hold, a summary, and in which direction it can speak."""
        assert isinstance(self.feature, EvidenceFeature)
        assert _NAME.fullmatch(self.feature.name), "a name is lower-case letters, digits and underscores"
        assert self.feature.summary.strip(), "a summary says what is measured, and in which unit"
        assert self.feature.summary.isprintable(), "a summary is one line"
        for direction in ("conflict", "comparable"):
            assert getattr(self.feature, direction) in (-1, 0, 1), f"{direction} is -1, 0 or 1"

    def test_a_case_has_a_value(self) -> None:
        """A feature that measures nothing passes everything else."""
        assert any(self._measured(case) for case in self.cases), "no case gives a value; give one that does"

    def test_values_are_finite_numbers_of_the_pairs_asked_for(self, case: EvidenceCase) -> None:
        """A value that is missing is left out, never NaN or None."""
        self._measured(case)

    def test_it_is_the_same_for_both_orders_of_a_pair(self, case: EvidenceCase) -> None:
        """A pair has one value, whichever of the two is named first."""
        turned = {(b, a): value for (a, b), value in self._measured(case, turned=True).items()}
        assert turned == _near(self._measured(case)), "name the spans of a pair in the opposite order, same value"

    def test_measuring_is_pure(self, case: EvidenceCase) -> None:
        """Same evidence, same values, whatever was measured in between; and the evidence stays as it was."""
        first = self._measured(case)
        for other in self.cases:
            self._measured(other)
        assert self._measured(case) == _near(first)
        with case.reading() as reading:
            kept = copy.deepcopy(reading.evidence)
            self.feature.measure(reading)
            assert reading.evidence == kept, "the evidence was changed"

    def test_what_spans_are_called_does_not_matter(self, case: EvidenceCase) -> None:
        """Ids are the caller's; also two branches must not share a name because theirs look alike."""
        names = dict(zip(case.names, (*_ODD, *case.names), strict=False))
        probed = {(names[a], names[b]): logits for (a, b), logits in case.probed.items()}
        called = self._measured(replace(case, ids=tuple(names.values()), probed=probed))
        assert called == _near({(names[a], names[b]): value for (a, b), value in self._measured(case).items()})

    def test_a_span_that_does_not_answer_is_put_up_with(self, case: EvidenceCase) -> None:
        """It is in no pair; its answer is empty and has no likelihood."""
        ids = (*case.names, "silent")
        found = self._measured(replace(case, spans=(*case.spans, _SILENT), ids=ids))
        assert not [pair for pair in found if "silent" in pair]

    def test_a_span_without_text_is_put_up_with(self, case: EvidenceCase) -> None:
        """Media answer too, and have no text to look at."""
        for name in case.names:
            self._measured(case, without_text=name)

    def _measured(self, case: EvidenceCase, *, turned: bool = False, without_text: str = "") -> Values:
        with case.reading(turned=turned, without_text=without_text) as reading:
            assert reading.pairs, "a case needs two spans that answer"
            before = reading.run.session.usage()
            values = dict(self.feature.measure(reading))
            self._check_tokens(reading, before)
            for pair, value in values.items():
                assert pair in reading.pairs, f"{pair} was not asked for; the pairs are {list(reading.pairs)}"
                assert isinstance(value, Real), f"{value!r} is no number; leave {pair} out where it has no value"
                assert math.isfinite(value), f"{value} is not finite; leave {pair} out where it has no value"
            return values

    def _check_tokens(self, reading: RequestReading, before: SessionUsage) -> None:
        """What was run is no more than was said beforehand."""
        after = reading.run.session.usage()
        ran = after.context_tokens + after.branch_tokens - before.context_tokens - before.branch_tokens
        backend = reading.backend
        asked = FeatureSizes(
            backend.sizes(reading.prompt),
            reading.evidence.question,
            max(len(backend.ids(span.answer)) for span in reading.evidence.spans),
            orders_probed(reading.prompt),
            tail=lambda task: len(backend.tail(task)),
            ids=backend.ids,
        )
        said = self.feature.tokens(asked) if isinstance(self.feature, RunningFeature) else 0
        assert ran <= said, f"it ran {ran} tokens and said {said} at most: see xmguard.sizes.RunningFeature"


def _near(values: Values) -> Mapping[tuple[str, str], object]:
    return {pair: pytest.approx(value, abs=NEAR, rel=NEAR) for pair, value in values.items()}
