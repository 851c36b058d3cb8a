"""The command: `python -m xmguard_research.benchmarks.mmir --baselines`."""

from xmguard_research.benchmarks.cards import command
from xmguard_research.benchmarks.mmir.baselines import table
from xmguard_research.benchmarks.mmir.page import items
from xmguard_research.benchmarks.mmir.suites import KINDS, PER_RELATION, lines

if __name__ == "__main__":
    command("xmguard_research.benchmarks.mmir", lines, lambda: table(items(KINDS, PER_RELATION, seed=0)))
