"""What inspect_ai finds by entry point: our tasks, our models."""

from xmguard_research.benchmarks.clqa.suites import clqa, clqa_mini
from xmguard_research.benchmarks.iseval.suites import iseval
from xmguard_research.benchmarks.mmir.suites import mmir
from xmguard_research.benchmarks.modality_conflict.suites import modality_conflict
from xmguard_research.benchmarks.providers import xmguard, xmguard_server
from xmguard_research.benchmarks.xmodbench.suites import xmodbench

__all__ = ["clqa", "clqa_mini", "iseval", "mmir", "modality_conflict", "xmguard", "xmguard_server", "xmodbench"]
