"""Looks at pictures that are not trained on, while training goes on. Knows no loop and no budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from xmguard_research.tiny_vlm.grounding import Grounder, recall
from xmguard_research.tiny_vlm.learner import Learner
from xmguard_research.tiny_vlm.prompts import Conversation
from xmguard_research.tiny_vlm.training import Collate, evaluating

BATCH = 8
"""Pictures at a time."""


def recognised(grounder: Grounder, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """Recall of the known words of a batch's cells, as `all`."""
    here = {name: value.to(grounder.mean.device) for name, value in batch.items()}
    with evaluating(grounder):
        return {"all": round(recall(grounder, here), 4)}


def answered(learner: Learner, rows: Sequence[Conversation], collate: Collate) -> dict[str, float]:
    """Share of exact matches of each skill, and of `all`."""
    return by_skill(rows, exact_matches(learner, rows, collate, BATCH))


def exact_matches(learner: Learner, rows: Sequence[Conversation], collate: Collate, batch: int) -> list[bool]:
    """Whether greedy decoding would give each branch's answer, token by token, in the order of rows and branches.

    Every token is predicted from the right ones before it: as long as they are all right, that is what greedy
    decoding reads.
    """
    found: list[bool] = []
    device = next(learner.projector.parameters()).device
    for first in range(0, len(rows), batch):
        packed = {name: value.to(device) for name, value in collate(rows[first : first + batch]).items()}
        with evaluating(learner):
            right = learner.logits(packed).argmax(dim=-1) == packed["answers"]
        wrong = set(packed["branch_of"][~right].tolist())
        found += [number not in wrong for number in range(int(packed["branch_of"].max()) + 1)]
    return found


def by_skill(rows: Sequence[Conversation], matches: Sequence[bool]) -> dict[str, float]:
    """Share of exact matches of each skill, and of `all`."""
    skills = [branch.asked.skill for row in rows for branch in row.branches]
    own: dict[str, list[bool]] = {skill: [] for skill in sorted(set(skills))}
    for skill, match in zip(skills, matches, strict=True):
        own[skill].append(match)
    return {name: round(sum(found) / len(found), 4) for name, found in {**own, "all": list(matches)}.items()}
