"""The command: `python -m xmguard_research.benchmarks.modality_conflict --baselines`."""

from xmguard_research.benchmarks.cards import command
from xmguard_research.benchmarks.modality_conflict.baselines import table
from xmguard_research.benchmarks.modality_conflict.items import items
from xmguard_research.benchmarks.modality_conflict.suites import ITEMS, lines

if __name__ == "__main__":
    command("xmguard_research.benchmarks.modality_conflict", lines, lambda: table(items(ITEMS, seed=0)))
