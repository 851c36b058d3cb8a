"""What inspect_ai finds by entry point: our tasks, our models."""

from xmguard_research.benchmarks.clqa.suites import clqa, clqa_mini
from xmguard_research.benchmarks.cmqa.suites import cmqa, cmqa_mini
from xmguard_research.benchmarks.generated.suites import clqa_generated, cmqa_generated
from xmguard_research.benchmarks.iseval.suites import iseval
from xmguard_research.benchmarks.mmir.suites import mmir
from xmguard_research.benchmarks.modality_conflict.suites import modality_conflict
from xmguard_research.benchmarks.pixels.suites import pixels
from xmguard_research.benchmarks.providers import xmguard, xmguard_server
from xmguard_research.benchmarks.vqa.suites import vqa_conflict
from xmguard_research.benchmarks.words_or_vision.suites import words_or_vision
from xmguard_research.benchmarks.xmodbench.suites import xmodbench
from xmguard_research.benchmarks.xquad.suites import xquad_conflict

__all__ = [
    "clqa",
    "clqa_generated",
    "clqa_mini",
    "cmqa",
    "cmqa_generated",
    "cmqa_mini",
    "iseval",
    "mmir",
    "modality_conflict",
    "pixels",
    "vqa_conflict",
    "words_or_vision",
    "xmguard",
    "xmguard_server",
    "xmodbench",
    "xquad_conflict",
]
