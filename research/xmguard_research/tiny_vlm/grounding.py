"""Teaches the projector to say what is where: a cell's embedding comes near those of the words that are drawn in it.

The generator knows which word is where (`xmguard_research.scenes.Mark`), so this needs no language model, only its
embeddings: a hundredth of the cost of learning the same through its layers. Afterwards a picture reads like loose words
to it. Knows no question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xmguard_research.scenes import Mark
from xmguard_research.scenes.canvas import UNITS
from xmguard_research.tiny_vlm.recipe import Recipe, Stage


@dataclass(frozen=True)
class Grounded:
    """What the cells of a picture should say."""

    picture: int
    """Index of the picture."""
    cells: int
    """How many it has."""
    labels: tuple[tuple[int, int], ...]
    """Cell, and token of the language model; a cell may say several, or nothing."""

    @property
    def tokens(self) -> int:
        """That a step reads of it."""
        return self.cells


def labelled(
    marks: Sequence[Mark], picture: int, grid: int, tokens: Callable[[Mark], Sequence[int]], covered: float
) -> Grounded:
    """The labels of one picture of `grid` x `grid` cells; `tokens` are those of a mark's words.

    A cell says a word if their common area is at least `covered` of the smaller of the two.
    """
    side = UNITS / grid
    found = []
    for mark in marks:
        left, top, right, bottom = mark.box
        least = covered * min((right - left) * (bottom - top), side * side)
        said = tuple(tokens(mark))
        for cell in range(grid * grid):
            row, column = divmod(cell, grid)
            wide = min(right, (column + 1) * side) - max(left, column * side)
            high = min(bottom, (row + 1) * side) - max(top, row * side)
            if wide > 0 and high > 0 and wide * high >= least:
                found += [(cell, token) for token in said]
    return Grounded(picture, grid * grid, tuple(dict.fromkeys(found)))


class Grounder(nn.Module):
    """The projector, and what turns its embeddings into probabilities of words."""

    mean: Tensor
    """[hidden] of all embeddings."""
    words: Tensor
    """[known token, hidden]: embeddings from there, over their mean length."""
    unit: Tensor
    """That mean length."""

    def __init__(self, projector: Any, table: Tensor, rows: Sequence[Grounded], recipe: Recipe) -> None:
        """`table` [vocabulary, hidden] holds the language model's embeddings; the tokens of `rows` are told apart."""
        super().__init__()
        self.projector = projector.float().requires_grad_(True)
        self._dropped, self._shrunk = recipe.dropped, recipe.shrunk
        known = sorted({token for row in rows for _, token in row.labels})
        self.places = {token: place for place, token in enumerate(known)}
        embeddings = table.float()
        mean = embeddings.mean(dim=0)
        words = embeddings[torch.tensor(known)] - mean
        # Embeddings share a large mean; a picture's cells begin there, not around zero where no token is.
        self.register_buffer("mean", mean)
        self.register_buffer("words", words / words.norm(dim=-1).mean())
        self.register_buffer("unit", words.norm(dim=-1).mean())
        self.sharpness = nn.Parameter(torch.tensor(recipe.sharpness))
        self.bias = nn.Parameter(torch.full((len(known),), recipe.bias))
        with torch.no_grad():
            projector.outward.bias.copy_(mean)

    def groups(self, stage: Stage) -> list[dict[str, Any]]:
        """Parameters with their learning rates."""
        return [
            {"params": list(self.projector.parameters()), "lr": stage.projector_rate},
            {"params": [self.sharpness, self.bias], "lr": stage.projector_rate, "weight_decay": 0.0},
        ]

    def trained(self) -> dict[str, Tensor]:
        """What a checkpoint holds: `projector.…`, and this stage's own `grounder.…`."""
        found = {f"projector.{name}": value for name, value in self.projector.state_dict().items()}
        found |= {"grounder.sharpness": self.sharpness, "grounder.bias": self.bias}
        return {name: value.detach().cpu().clone() for name, value in found.items()}

    @torch.no_grad()
    def load_trained(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `trained` gave.

        Raises:
            KeyError: something is missing.
        """
        self.projector.load_state_dict({name: tensors[f"projector.{name}"] for name in self.projector.state_dict()})
        self.sharpness.copy_(tensors["grounder.sharpness"])
        self.bias.copy_(tensors["grounder.bias"])

    def logits(self, embedded: Tensor) -> Tensor:
        """[picture, cell, known token] of embeddings [picture, cell, hidden]."""
        directions = self.words / self.words.norm(dim=-1, keepdim=True)
        alike: Tensor = self._centred(embedded) @ directions.T
        return alike * self.sharpness.exp() + self.bias

    def forward(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """As `loss`, a cell: nats of every known token's presence, plus the weighted squared distance to its words.

        The distance is over the words' mean length. `labels` [label, 3] are picture, cell and place of a token. The
        words of a cell are added up over the square root of their number, as independent directions that keep a word's
        length.
        """
        seen = nn.functional.dropout(features.float(), self._dropped, self.training)
        embedded = self.projector(seen).float()
        wanted = torch.zeros(*embedded.shape[:2], len(self.bias), device=embedded.device)
        wanted[labels.unbind(1)] = 1.0
        presence = nn.functional.binary_cross_entropy_with_logits(self.logits(embedded), wanted, reduction="none")
        target = wanted @ self.words / wanted.sum(dim=-1, keepdim=True).clamp(min=1.0).sqrt()
        distance = (self._centred(embedded) - target).square().sum(dim=-1)
        return {"loss": presence.sum(dim=-1).mean() + self._shrunk * distance.mean()}

    def collate(self, rows: Sequence[Grounded], features: Callable[[int], Tensor]) -> dict[str, Tensor]:
        """A batch; labels of tokens that are not known are left out."""
        labels = [
            (index, cell, self.places[token])
            for index, row in enumerate(rows)
            for cell, token in row.labels
            if token in self.places
        ]
        return {
            "features": torch.stack([features(row.picture) for row in rows]),
            "labels": torch.tensor(labels, dtype=torch.long).reshape(-1, 3),
            "tokens": torch.tensor(sum(row.tokens for row in rows)),
        }

    def _centred(self, embedded: Tensor) -> Tensor:
        """From the mean of all embeddings, over the words' mean length."""
        return (embedded - self.mean) / self.unit


def recall(grounder: Grounder, batch: Mapping[str, Tensor]) -> float:
    """Share of a batch's labels that are among the cell's likeliest tokens, as many as the cell has labels."""
    logits = grounder.logits(grounder.projector(batch["features"].float()).float())
    wanted = torch.zeros_like(logits, dtype=torch.bool)
    wanted[batch["labels"].unbind(1)] = True
    ranks = logits.argsort(dim=-1, descending=True).argsort(dim=-1)
    right = wanted & (ranks < wanted.sum(dim=-1, keepdim=True))
    return float(right.sum() / wanted.sum())
