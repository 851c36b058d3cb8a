"""What inspect_ai finds by entry point: our tasks, our models."""

from xmguard_research.benchmarks.clqa.suites import clqa, clqa_mini
from xmguard_research.benchmarks.cmqa.suites import cmqa, cmqa_mini
from xmguard_research.benchmarks.pixels.suites import pixels
from xmguard_research.benchmarks.providers import xmguard, xmguard_server

__all__ = ["clqa", "clqa_mini", "cmqa", "cmqa_mini", "pixels", "xmguard", "xmguard_server"]
