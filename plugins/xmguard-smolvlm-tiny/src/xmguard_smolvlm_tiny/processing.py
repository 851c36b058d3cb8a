"""Pictures to pixels and texts to tokens, without torchvision.

A picture of any shape is stretched to the tower's square: every cell then shows some of it, at the price of its
proportions. Knows nothing of weights.
"""

from __future__ import annotations

from typing import Any, ClassVar

from PIL.Image import Resampling
from transformers import ProcessorMixin
from transformers.image_processing_backends import PilBackend

IMAGE_TOKEN = "<image>"

CHAT_TEMPLATE = """\
{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
'}}{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}{{'<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
"""SmolLM2's, which also takes messages of several parts."""


class SmolVlmTinyImageProcessor(PilBackend):
    """Resizes to a square and shifts 0..255 to about -1..1, as the tower's published weights expect."""

    resample = Resampling.BICUBIC
    size: ClassVar[dict[str, int]] = {"height": 224, "width": 224}
    image_mean: ClassVar[list[float]] = [127.0, 127.0, 127.0]
    image_std: ClassVar[list[float]] = [128.0, 128.0, 128.0]
    do_convert_rgb = True
    do_resize = True
    do_rescale = False
    do_normalize = True


class SmolVlmTinyProcessor(ProcessorMixin):
    """A tokenizer that knows `<image>`, and the pictures' processor. Each `<image>` becomes the run of its cells."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, image_seq_length: int = 49, chat_template: Any = None
    ) -> None:
        self.image_token = IMAGE_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        self.image_seq_length = image_seq_length
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """What `<image>` becomes; the same for every picture."""
        return self.image_token * self.image_seq_length
