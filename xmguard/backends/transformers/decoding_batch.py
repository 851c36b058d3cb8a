"""Branches that are decoded together, one token of each at a time. State only; `session` steps it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xmguard.backends.transformers.branches import BranchBatch
from xmguard.backends.transformers.recording import StepRecorder
from xmguard.backends.transformers.sampling import Speaker
from xmguard.backends.transformers.steering import Steering
from xmguard.contracts import Branch


@dataclass
class DecodingBatch:
    """Branches on one context, stepping together."""

    caches: BranchBatch
    speakers: list[Speaker]
    logits: Tensor
    """[branch, vocabulary]"""
    steps: StepRecorder
    steering: Steering | None
    """Of the generated rows of `speakers`."""

    @property
    def branches(self) -> list[Branch]:
        """The branches that go on, in the caches' order."""
        return [speaker.branch for speaker in self.speakers]
