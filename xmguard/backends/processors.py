"""Loads the processor of a model that reads pictures, on PIL and without what only videos need.

transformers' video processors need torchvision, and a processor that takes both refuses to be built without one. No
video is read here, so such a processor is built with none. Knows nothing of prompts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING, processor_class_from_name

from xmguard.errors import ModelRefused

_VIDEO = "video_processor"


def load_processor(path: Path, options: dict[str, Any]) -> Any:
    """A folder's processor; `options` are those of every `from_pretrained`.

    Raises:
        ModelRefused: it cannot be read, or needs a package that is not installed.
    """
    try:
        kind = _processor_class(path, options)
        if _VIDEO not in kind.get_attributes():
            return AutoProcessor.from_pretrained(path, backend="pil", **options)
        parts = {
            "image_processor": AutoImageProcessor.from_pretrained(path, backend="pil", **options),
            "tokenizer": AutoTokenizer.from_pretrained(path, **options),
        }
        settings, _ = kind.get_processor_dict(path, **options)
        return without_video(kind).from_args_and_dict([parts.get(name) for name in kind.get_attributes()], settings)
    except Exception as error:  # whatever its files hold, and whatever packages its parts ask for
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ModelRefused(str(path), [f"its processor cannot be read: {said}"]) from error


def without_video(kind: Any) -> Any:
    """The same class of processor, content with None for its video processor."""

    class Processor(kind):  # type: ignore[misc]  # a class of transformers, without types
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == _VIDEO and argument is None:
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    Processor.__name__ = Processor.__qualname__ = kind.__name__  # what is saved names its class
    return Processor


def _processor_class(path: Path, options: dict[str, Any]) -> Any:
    """The class that the folder names, or that belongs to its configuration."""
    kind = PROCESSOR_MAPPING[type(AutoConfig.from_pretrained(path, **options))]
    if (path / "processor_config.json").is_file():
        settings, _ = kind.get_processor_dict(path, **options)
        return processor_class_from_name(settings.get("processor_class", kind.__name__)) or kind
    return kind
