"""The command: `python -m xmguard_research.benchmarks.iseval --baselines`."""

from xmguard_research.benchmarks.cards import command
from xmguard_research.benchmarks.iseval.baselines import table
from xmguard_research.benchmarks.iseval.problems import items
from xmguard_research.benchmarks.iseval.suites import PER_CATEGORY, lines

if __name__ == "__main__":
    command("xmguard_research.benchmarks.iseval", lines, lambda: table(items(PER_CATEGORY, seed=0)))
