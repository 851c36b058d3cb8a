"""What a conflict verdict has to beat without any model: scores from what a pair is made of. Larger means conflict.

Knows nothing of spans, models or verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.splits import FOLDS, fitting_fold
from xmguard_research.verdict.words import content_words, numbers, tokens

OVERLAP = "word overlap"
TEXT_ONLY, PICTURE_ONLY = "text only", "picture only"


def word_overlap(pair: Pair) -> float:
    """Minus the share of content words that both texts have (Jaccard), the question's words left out: -1 to 0.

    Only English stop words are left out. Where a script puts no space between words, neighbouring characters count as
    words; across scripts little but names and numbers in Latin letters and digits can be shared.
    """
    asked = content_words(pair.question)
    first, second = (content_words(text) - asked for text in pair.texts)
    return -len(first & second) / max(1, len(first | second))


def foreign_numbers(pair: Pair) -> float | None:
    """Share of each text's numbers that the other lacks, mean over the texts that have any; None if neither has."""
    first, second = (numbers(text) for text in pair.texts)
    shares = [len(own - other) / len(own) for own, other in ((first, second), (second, first)) if own]
    return sum(shares) / len(shares) if shares else None


def one_text(pairs: Sequence[Pair], place: int) -> list[float | None]:
    """Log odds of a conflict from one text of each pair: does a text alone give the label away? See `from_words`.

    Args:
        pairs: of one yardstick.
        place: 0 for the first text, 1 for the second.
    """
    return from_words(pairs, [pair.texts[place] for pair in pairs])


def from_words(pairs: Sequence[Pair], documents: Sequence[str]) -> list[float | None]:
    """Log odds of a conflict from the words of one document a pair.

    Logistic regression on tf-idf of words, each fold predicted from the other four; None for folds whose others hold
    one class only. A score at chance says that documents are balanced, one above it that a verdict can cheat.
    """
    folds = np.array([fitting_fold(pair.item) for pair in pairs])
    texts = np.array(documents, dtype=object)
    conflict = np.array([pair.conflict for pair in pairs])
    scores: list[float | None] = [None] * len(pairs)
    for number in range(FOLDS):
        rows = np.flatnonzero(folds == number)
        train = folds != number
        if len(rows) and len(np.unique(conflict[train])) == 2:
            model = make_pipeline(
                TfidfVectorizer(tokenizer=tokens, token_pattern=None, lowercase=False, sublinear_tf=True),
                LogisticRegression(max_iter=1000),
            )
            model.fit(texts[train], conflict[train])
            for row, score in zip(rows, model.decision_function(texts[rows]), strict=True):
                scores[row] = float(score)
    return scores


def without_model(pairs: Sequence[Pair]) -> Mapping[str, Sequence[float | None]]:
    """Every baseline of this module that the pairs of one yardstick allow.

    A picture has no words to compare. What it says is known from its spec, so a classifier of specs is what the best
    reader of pictures could make of one alone.
    """
    if any(pair.has_picture for pair in pairs):
        return {
            TEXT_ONLY: from_words(pairs, [" ".join(pair.texts) for pair in pairs]),
            PICTURE_ONLY: from_words(
                pairs, [" ".join(picture.spec for picture in pair.pictures if picture) for pair in pairs]
            ),
        }
    return {
        OVERLAP: [word_overlap(pair) for pair in pairs],
        "numbers the other lacks": [foreign_numbers(pair) for pair in pairs],
        "first text only": one_text(pairs, 0),
        "second text only": one_text(pairs, 1),
    }


NEUTRAL: Mapping[str, float] = {
    OVERLAP: -0.5,
    "numbers the other lacks": 0.5,
    "first text only": 0.0,
    "second text only": 0.0,
    TEXT_ONLY: 0.0,
    PICTURE_ONLY: 0.0,
}
"""What a missing score counts as: neither for nor against a conflict."""
