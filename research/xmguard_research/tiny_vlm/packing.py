"""Conversations as tensors: a context and its branches in one row, each branch blind to the others.

A branch's positions go on from the context's last, so that every branch reads as it does when it is served by itself.
Rows are padded to a multiple of 16 tokens: few shapes, which is what CPU kernels are compiled for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from xmguard_research.tiny_vlm.prompts import Conversation

MULTIPLE = 16


def collate(rows: Sequence[Conversation], features: Callable[[int], Tensor], image_token: int) -> dict[str, Tensor]:
    """A batch.

    Returns:
        `ids` and `positions` [row, token]; `allowed` [row, 1, query, key], true where a query reads a key; `features`
        [picture, cell, feature] of the rows that have one, in order; `answer_at` [answer token, 2], row and column of
        the token that each answer token is predicted from; `answers` [answer token]; `branch_of` [answer token],
        numbered through the batch; `image_token`; `tokens`, how many are read, padding left out.
    """
    width = -(-max(row.tokens for row in rows) // MULTIPLE) * MULTIPLE
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    branch = torch.full((len(rows), width), -1)  # padding; 0 is the context, branches count from 1
    at: list[tuple[int, int]] = []
    answers: list[int] = []
    branch_of: list[int] = []
    numbered = 0
    for index, row in enumerate(rows):
        start = len(row.context)
        ids[index, :start] = torch.tensor(row.context)
        positions[index, :start] = torch.arange(start)
        branch[index, :start] = 0
        column = start
        for number, one in enumerate(row.branches, start=1):
            read = (*one.tail, *one.answer[:-1])
            place = slice(column, column + len(read))
            ids[index, place] = torch.tensor(read)
            positions[index, place] = torch.arange(start, start + len(read))
            branch[index, place] = number
            first = column + len(one.tail) - 1
            at += [(index, first + offset) for offset in range(len(one.answer))]
            answers += one.answer
            branch_of += [numbered] * len(one.answer)
            numbered += 1
            column += len(read)
    # Padding reads itself and the context: the softmax of nothing would not be a number.
    keys, queries = branch[:, None, :], branch[:, :, None]
    allowed = ((keys == 0) | (keys == queries)) & torch.ones(width, width, dtype=torch.bool).tril()
    pictures = [features(row.picture) for row in rows if row.picture is not None]
    return {
        "ids": ids,
        "positions": positions,
        "allowed": allowed[:, None],
        "features": torch.stack(pictures) if pictures else torch.zeros(0),
        "answer_at": torch.tensor(at),
        "answers": torch.tensor(answers),
        "branch_of": torch.tensor(branch_of),
        "image_token": torch.tensor(image_token),
        "tokens": torch.tensor(sum(row.tokens for row in rows)),
    }
