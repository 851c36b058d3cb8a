"""A local model of natural language inference as a baseline: how likely one text contradicts the other.

The texts are compared as they are, without the question: such models are trained on sentences, and a question in front
of both would be something they agree on. Knows nothing of verdicts. Needs torch and transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmguard_research.verdict.pairs import Pair

NAME = "nli contradiction"
NEUTRAL = 0.5
_LABEL = "contradiction"


class Nli:
    """A sequence-classification model in a folder."""

    def __init__(self, folder: Path) -> None:
        """Load it; nothing is fetched and no code of the folder is run.

        Raises:
            ValueError: there is no model, or none of its labels is a contradiction.
        """
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder} holds no config.json; give the folder of a transformers model")
        names = AutoConfig.from_pretrained(folder).id2label
        found = [index for index, name in names.items() if name.strip().lower() == _LABEL]
        if len(found) != 1:
            raise ValueError(
                f"{folder}: labels are {', '.join(names.values())}, and exactly one has to be {_LABEL!r}; "
                "name it so in id2label of config.json"
            )
        self._contradiction = int(found[0])
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self._most = min(int(self._tokenizer.model_max_length), int(self._model.config.max_position_embeddings))

    def score(self, pair: Pair) -> float | None:
        """Probability of a contradiction, the larger of both directions; None if the pair is too long for the model."""
        import torch

        first, second = pair.texts
        highest = 0.0
        for premise, hypothesis in ((first, second), (second, first)):
            encoded = self._tokenizer(premise, hypothesis, return_tensors="pt")
            if encoded["input_ids"].shape[1] > self._most:
                return None
            with torch.inference_mode():
                probabilities = self._model(**encoded).logits[0].float().softmax(-1)
            highest = max(highest, float(probabilities[self._contradiction]))
        return highest
