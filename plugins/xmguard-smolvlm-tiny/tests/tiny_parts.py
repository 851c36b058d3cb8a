"""A tiny language model as the base, a tiny tower, and pictures: the plugin's real code, no download."""

import torch
from PIL import Image

from xmguard.testing import make_model
from xmguard_smolvlm_tiny.assembly import make_model as put_together
from xmguard_smolvlm_tiny.assembly import make_processor
from xmguard_smolvlm_tiny.configuration import SmolVlmTinyVisionConfig
from xmguard_smolvlm_tiny.efficientnet import EfficientNetLite

VISION = {
    "image_size": 128,
    "stem_width": 8,
    "stages": [
        [1, 3, 1, 1, 8],
        [1, 3, 2, 2, 8],
        [1, 3, 2, 2, 8],
        [1, 3, 2, 2, 8],
        [1, 3, 1, 2, 12],
        [1, 3, 2, 2, 16],
        [1, 3, 1, 2, 16],
    ],
}
SIDE = 4


def random_tower(seed=0):
    """State of a tower whose features are neither all alike nor vanishing, of numbers that half precision can hold."""
    settings = SmolVlmTinyVisionConfig(**VISION)
    torch.manual_seed(seed)
    tower = EfficientNetLite(settings.stem_width, settings.stages, settings.taps)
    for module in tower.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            torch.nn.init.normal_(module.bias, std=0.1)
    return {name: value.half().float() for name, value in tower.state_dict().items()}


def make_base(folder):
    """A tiny Llama whose head shares the embeddings' weights, in a folder."""
    return make_model(folder, end_token=True, tie_word_embeddings=True)


def make_parts(base):
    """Model and processor."""
    settings = SmolVlmTinyVisionConfig(**VISION)
    processor = make_processor(base, settings)
    torch.manual_seed(1)
    return put_together(base, settings, processor.tokenizer, random_tower()), processor


def noise(seed, width=128, height=128):
    """A picture of coloured noise."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())
