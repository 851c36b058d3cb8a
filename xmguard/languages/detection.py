"""Names the language of an unlabelled text: by its script where that decides, else by py3langid's naive Bayes model.

Prefers to say nothing: a wrong label would pick the wrong language plugin, while no label is reported as `und`.
Knows nothing of which language plugins are installed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from xmguard.languages.scripts import script_language

MIN_PROBABILITY = 0.3
"""Below this normalised probability the text counts as unrecognised.

The texts of tests/unit/test_detection.py show that it lets whole sentences through, short questions among them, and
holds back single words in Latin script, codes, numbers and phrases as short as "Who won?", whose winner would be wrong.
The exception is a word of Chinese characters alone: the Japanese "東京" is called Chinese.
"""

_VARIETY_OF = {"arz": "ar", "ary": "ar", "ext": "es"}
# The model gives each label the same weight, so a variety with little writing of its own takes sentences from the
# language it is close to: "Madrid es la capital de España." goes to Extremaduran.
# Except for `ext`, the targets are the macrolanguages under which BCP 47 registers the varieties.

_NO_LANGUAGE = "zxx"

_lock = threading.Lock()
_identifier: Any = None


def detect(text: str) -> str | None:
    """BCP-47 primary tag of the text's language, or None when it is not clear."""
    if not any(character.isalpha() for character in text):
        return None
    if tag := script_language(text):
        return tag
    probabilities: defaultdict[str, float] = defaultdict(float)
    for tag, probability in _load().rank(text):
        probabilities[_VARIETY_OF.get(tag, tag)] += probability
    likeliest = max(probabilities, key=probabilities.__getitem__)
    return likeliest if probabilities[likeliest] >= MIN_PROBABILITY and likeliest != _NO_LANGUAGE else None


def _load() -> Any:
    """The classifier: loading takes a second, so it is shared; reading it from many threads is safe."""
    global _identifier
    with _lock:
        if _identifier is None:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier

            _identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        return _identifier
