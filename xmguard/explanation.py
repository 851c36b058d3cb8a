"""An answer with the numbers behind its reports, per layer and head. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from xmguard.measurement import DirectedContribution, Measurement
from xmguard.request import Scope
from xmguard.response import AnswerResponse


@dataclass(frozen=True)
class Explanation:
    """What `Guard.explain` found."""

    response: AnswerResponse
    before: Measurement
    """The prompt's reader rows without bias."""
    after: Measurement
    """The same rows under the applied bias."""
    generated: Measurement | None
    """The answer's tokens that were read back; None when none was shown."""
    directed: DirectedContribution | None
    """Toward the answer's tokens; None when none was shown."""

    @property
    def biased(self) -> Measurement | None:
        """Rows that were read with the bias: the prompt's, with scope GENERATED the answer's. None: no bias."""
        done = self.response.rebalancing
        if not done.applied:
            return None
        return self.generated if done.scope is Scope.GENERATED else self.after
