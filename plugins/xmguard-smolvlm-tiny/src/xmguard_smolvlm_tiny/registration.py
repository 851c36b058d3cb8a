"""Makes transformers' Auto classes know the model, so that its folder loads without code from the folder."""

from __future__ import annotations

from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor

from xmguard_smolvlm_tiny.configuration import SmolVlmTinyConfig
from xmguard_smolvlm_tiny.modeling import SmolVlmTinyForConditionalGeneration
from xmguard_smolvlm_tiny.processing import SmolVlmTinyImageProcessor, SmolVlmTinyProcessor


def register() -> None:
    """Register the classes; again is no harm."""
    AutoConfig.register(SmolVlmTinyConfig.model_type, SmolVlmTinyConfig, exist_ok=True)
    AutoModelForImageTextToText.register(SmolVlmTinyConfig, SmolVlmTinyForConditionalGeneration, exist_ok=True)
    AutoImageProcessor.register(
        SmolVlmTinyConfig, image_processor_classes={"pil": SmolVlmTinyImageProcessor}, exist_ok=True
    )
    AutoProcessor.register(SmolVlmTinyConfig, SmolVlmTinyProcessor, exist_ok=True)
