"""What inspect_ai finds by entry point: our tasks, our models."""

from xmguard_research.benchmarks.providers import xmguard, xmguard_server
from xmguard_research.benchmarks.tasks import clqa, clqa_mini

__all__ = ["clqa", "clqa_mini", "xmguard", "xmguard_server"]
