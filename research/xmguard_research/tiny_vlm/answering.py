"""Asks a finished model folder in batches, greedily, with the prompts that xmguard serves.

Goes through the folder's own classes from pixels to text, as a user of the folder would. Knows no scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from xmguard_research.tiny_vlm.prompts import Conversation

REPLY = 24
"""Tokens that a reply may have; the longest right answer has fewer than half as many."""


@dataclass(frozen=True)
class Prompted:
    """One prompt, complete."""

    ids: tuple[int, ...]
    image: Image | None


def prompts(conversation: Conversation, image: Image | None) -> list[Prompted]:
    """One for each branch."""
    return [Prompted((*conversation.context, *branch.tail), image) for branch in conversation.branches]


class Asker:
    """A loaded model with its processor; on a GPU where there is one."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any) -> None:
        """`processor` is None for a model that reads text alone."""
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(self._device).eval()
        self._processor, self._tokenizer = processor, tokenizer

    @classmethod
    def seeing(cls, folder: Path) -> Asker:
        """Of a folder of `smolvlm-tiny`."""
        from transformers import AutoProcessor

        from xmguard_smolvlm_tiny.registration import register

        register()
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        return cls(model, processor, processor.tokenizer)

    @classmethod
    def reading(cls, folder: Path) -> Asker:
        """Of a folder of a language model."""
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        return cls(model, None, tokenizer)

    @property
    def processor(self) -> Any:
        """None for a model that reads text alone."""
        return self._processor

    @torch.inference_mode()
    def replies(self, asked: Sequence[Prompted], batch: int, tell: Callable[[int], None]) -> list[str]:
        """What greedy decoding says to each, stripped of blanks."""
        order = sorted(range(len(asked)), key=lambda index: len(asked[index].ids))
        said = [""] * len(asked)
        for first in range(0, len(order), batch):
            chunk = order[first : first + batch]
            inputs = self._inputs([asked[index] for index in chunk])
            generated = self._model.generate(**inputs, max_new_tokens=REPLY, do_sample=False)
            texts = self._tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            for index, text in zip(chunk, texts, strict=True):
                said[index] = text.strip()
            tell(len(chunk))
        return said

    @torch.inference_mode()
    def log_likelihood(self, ask: str, reply: str) -> list[float]:
        """Nats of each token of a reply in a chat, the end of the turn included."""
        message = [{"role": "user", "content": ask}]
        before: str = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        prompt = self._tokenizer(before, add_special_tokens=False)["input_ids"]
        answer = [*self._tokenizer(reply, add_special_tokens=False)["input_ids"], self._tokenizer.eos_token_id]
        ids = torch.tensor([[*prompt, *answer]], device=self._device)
        logits = self._model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        scores = nn.functional.log_softmax(logits, dim=-1).gather(1, ids[0, len(prompt) :, None])
        return [float(score) for score in scores[:, 0]]

    def _inputs(self, chunk: Sequence[Prompted]) -> dict[str, Tensor]:
        width = max(len(one.ids) for one in chunk)
        ids = torch.full((len(chunk), width), int(self._tokenizer.pad_token_id))
        mask = torch.zeros(len(chunk), width, dtype=torch.long)
        for row, one in enumerate(chunk):
            ids[row, width - len(one.ids) :] = torch.tensor(one.ids)
            mask[row, width - len(one.ids) :] = 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        images = [one.image for one in chunk if one.image is not None]
        if images:
            inputs["pixel_values"] = self._processor.image_processor(images, return_tensors="pt").pixel_values
        return {name: value.to(self._device) for name, value in inputs.items()}
