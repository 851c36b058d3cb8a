"""Every number that the benchmarks report, each a small pure function with its formula and source.

Two rules hold for all of them:

* What is well formed and has no value (no rows, a denominator of zero, one class only) is `None`, never 0 and never an
  error: a slice of the data may be empty, and a report must say so. Where a function gives one number per draw of a
  bootstrap, the undefined ones are nan, and `Estimate` counts them.
* What is malformed (columns of different lengths, a negative norm, a share above 1) is a ValueError that says which.

Rates are shares between 0 and 1, entropies and log ratios nats. Answers are compared as their metric says. Nothing
here knows models, files, prompts or judges.
"""

from xmguard_research.metrics.accuracy_change import accuracy_change
from xmguard_research.metrics.bootstrap import RESAMPLES, Bootstrap, Estimate
from xmguard_research.metrics.calibration import BINS, Bin, brier, ece, reliability
from xmguard_research.metrics.draws import Metric
from xmguard_research.metrics.ranking import FALSE_ALARMS, auroc, recall_at_false_alarms, won_within_items

__all__ = [
    "BINS",
    "FALSE_ALARMS",
    "RESAMPLES",
    "Bin",
    "Bootstrap",
    "Estimate",
    "Metric",
    "accuracy_change",
    "auroc",
    "brier",
    "ece",
    "recall_at_false_alarms",
    "reliability",
    "won_within_items",
]
