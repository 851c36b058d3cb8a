"""Settings of the model: a Llama that reads, the tower that sees, and how many tokens a picture takes."""

from math import prod
from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig

LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Stages of EfficientNet-lite0: blocks, kernel, stride of the first block, expansion, output channels."""


class SmolVlmTinyVisionConfig(PreTrainedConfig):
    """Shape of the vision tower."""

    model_type = "smolvlm_tiny_vision"
    base_config_key = "vision_config"

    image_size: int = 224
    """Height and width in pixels."""
    stem_width: int = 32
    stages: list[list[int]] = None  # type: ignore[assignment]  # filled in below
    """As in `LITE0`, which is the default."""
    taps: list[int] = None  # type: ignore[assignment]  # filled in below
    """Indices of the stages whose maps become features; by default the last of strides 8, 16 and 32, as in lite0."""

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in lite0, and refuse a picture that does not divide into whole cells."""
        self.stages = [list(stage) for stage in self.stages or LITE0]
        self.taps = list(self.taps or (2, 4, len(self.stages) - 1))
        super().__post_init__(**kwargs)
        if self.image_size % self.stride:
            raise ValueError(f"image_size is {self.image_size}; it must be a multiple of the stride {self.stride}")

    def stride_after(self, stage: int) -> int:
        """Pixels between neighbouring cells of a stage's map; the stem has stride 2."""
        return 2 * prod(stride for _, _, stride, _, _ in self.stages[: stage + 1])

    @property
    def stride(self) -> int:
        """Pixels between neighbouring cells of the last map."""
        return self.stride_after(len(self.stages) - 1)

    @property
    def grid(self) -> int:
        """Cells along each side of the last map: a picture takes `grid * grid` tokens."""
        return self.image_size // self.stride

    @property
    def tap_sizes(self) -> list[int]:
        """Numbers per cell that each tapped stage contributes: a finer map is folded into the channels."""
        return [self.stages[tap][4] * (self.stride // self.stride_after(tap)) ** 2 for tap in self.taps]


class SmolVlmTinyConfig(PreTrainedConfig):
    """The whole model's settings, in LLaVA's shape."""

    model_type = "smolvlm_tiny"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}  # of parts that are models of transformers
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    text_config: Any = None
    """Of a Llama, or keyword arguments for one."""
    vision_config: Any = None
    """A `SmolVlmTinyVisionConfig`, or keyword arguments for one."""
    image_token_id: int = 49152
    """Placeholder of one cell of a picture; never an answer: `suppress_tokens` holds it."""
    projector_width: int = 384
    """Of the projector's transformer."""
    projector_layers: int = 3
    projector_heads: int = 6
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Make configurations of the parts."""
        text = self.text_config or {}
        if not isinstance(text, PreTrainedConfig):
            self.text_config = AutoConfig.for_model(**{"model_type": "llama", **text})
        vision = self.vision_config or {}
        if not isinstance(vision, PreTrainedConfig):
            self.vision_config = SmolVlmTinyVisionConfig(**vision)
        super().__post_init__(**kwargs)

    @property
    def image_seq_length(self) -> int:
        """Tokens a picture takes."""
        return int(self.vision_config.grid**2)
