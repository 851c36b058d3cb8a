"""CMQA offline: generated scenes, drawn or told, in pairs that agree about a question or do not.

Deterministic; drawn when a case is asked for. Knows no model, no prompt and no judge.
"""

from xmguard_research.benchmarks.cmqa.items import PAIRS, VARIANTS, Item, Source, items
from xmguard_research.benchmarks.cmqa.telling import Telling

__all__ = ["PAIRS", "VARIANTS", "Item", "Source", "Telling", "items"]
