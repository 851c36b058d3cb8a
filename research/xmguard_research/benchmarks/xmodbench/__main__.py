"""The command: `python -m xmguard_research.benchmarks.xmodbench --baselines`."""

from xmguard_research.benchmarks.cards import command
from xmguard_research.benchmarks.xmodbench.baselines import table
from xmguard_research.benchmarks.xmodbench.items import items
from xmguard_research.benchmarks.xmodbench.suites import PER_SUBTASK, lines

if __name__ == "__main__":
    command("xmguard_research.benchmarks.xmodbench", lines, lambda: table(items(PER_SUBTASK, seed=0)))
