"""Every number that the benchmarks report, each a small pure function with its formula and source.

Two rules hold for all of them:

* What is well formed and has no value (no rows, a denominator of zero, one class only) is `None`, never 0 and never an
  error: a slice of the data may be empty, and a report must say so. Where a function gives one number per draw of a
  bootstrap, the undefined ones are nan, and `Estimate` counts them.
* What is malformed (columns of different lengths, a negative norm, an unknown label) is a ValueError that says which.

Rates are shares between 0 and 1; entropies, log ratios and logits are nats. A rate is a ratio of counts, and its
interval is that of `share`, or `Bootstrap.of_sums` of the columns that are counted. Nothing here knows models, files,
prompts or judges.
"""

from xmguard_research.metrics.agreement import krippendorff_alpha
from xmguard_research.metrics.bootstrap import RESAMPLES, Bootstrap, Estimate
from xmguard_research.metrics.calibration import BINS, Bin, brier, ece, reliability
from xmguard_research.metrics.contributions import contribution, contribution_ratio
from xmguard_research.metrics.detection import Detection, detection_rates
from xmguard_research.metrics.directed import directed_preference
from xmguard_research.metrics.direction import directional_gap, macro_accuracy, modality_disparity
from xmguard_research.metrics.dominance import Depths, Dominance, by_depth, modality_dominance
from xmguard_research.metrics.draws import Metric
from xmguard_research.metrics.following import Following, text_following_rate
from xmguard_research.metrics.harm import accuracy_change
from xmguard_research.metrics.imbalance import Imbalance, attention_imbalance
from xmguard_research.metrics.importance import modality_importance
from xmguard_research.metrics.paired import McNemar, mcnemar, sign_flip_p_value
from xmguard_research.metrics.position import PositionEffect, position_effect
from xmguard_research.metrics.ranking import FALSE_ALARMS, auroc, recall_at_false_alarms, won_within_items
from xmguard_research.metrics.scrutiny import ErrorDetection, ModalityTrust, error_detection, modality_trust
from xmguard_research.metrics.shares import share
from xmguard_research.metrics.text_preference import Follows, TextPreference, followed, text_preference_ratio
from xmguard_research.metrics.uncertainty import FollowCurve, balance_point, follow_curve, relative_uncertainty

__all__ = [
    "BINS",
    "FALSE_ALARMS",
    "RESAMPLES",
    "Bin",
    "Bootstrap",
    "Depths",
    "Detection",
    "Dominance",
    "ErrorDetection",
    "Estimate",
    "FollowCurve",
    "Following",
    "Follows",
    "Imbalance",
    "McNemar",
    "Metric",
    "ModalityTrust",
    "PositionEffect",
    "TextPreference",
    "accuracy_change",
    "attention_imbalance",
    "auroc",
    "balance_point",
    "brier",
    "by_depth",
    "contribution",
    "contribution_ratio",
    "detection_rates",
    "directed_preference",
    "directional_gap",
    "ece",
    "error_detection",
    "follow_curve",
    "followed",
    "krippendorff_alpha",
    "macro_accuracy",
    "mcnemar",
    "modality_disparity",
    "modality_dominance",
    "modality_importance",
    "modality_trust",
    "position_effect",
    "recall_at_false_alarms",
    "relative_uncertainty",
    "reliability",
    "share",
    "sign_flip_p_value",
    "text_following_rate",
    "text_preference_ratio",
    "won_within_items",
]
