"""Generation by xmguard, timed through the `Session` protocol."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing

from xmguard.bias import REMOVE, AttentionBias
from xmguard.context import EncodedPrompt
from xmguard.contracts import Backend, Branch, Session
from xmguard.deadline import Stop
from xmguard.request import Decoding
from xmguard_research.speed.timing import Timed, Tokens

BIAS = 1.0
"""Largest epsilon applied, in nats."""


def branches_of(
    prompt: EncodedPrompt, name: str, batch: int, *, steered: bool, measured: bool = False
) -> tuple[Branch, ...]:
    """`batch` branches that put the question; steered ones each read the first span with another epsilon."""
    span = prompt.span_map.ids[0]
    return tuple(
        Branch(
            f"{name} {row}",
            prompt.joint_tail,
            AttentionBias({span: BIAS * (row + 1) / batch} if steered else {}),
            measured=measured,
        )
        for row in range(batch)
    )


def alone_branches(prompt: EncodedPrompt) -> tuple[Branch, ...]:
    """The joint reading, and each span read alone."""
    ids = prompt.span_map.ids
    alone = (
        Branch(f"alone {span}", prompt.alone_tail, AttentionBias({other: REMOVE for other in ids if other != span}))
        for span in ids
    )
    return (Branch("joint", prompt.joint_tail, AttentionBias()), *alone)


def prepare(session: Session, branches: Sequence[Branch]) -> None:
    """Have the tails of the branches run, so that decoding starts at their first new token."""
    _decode(session, branches, 1)


def decode(session: Session, branches: Sequence[Branch], *, steps: int) -> Timed:
    """Seconds of decoding prepared branches over `steps` forward passes, batching and reading the results included."""
    started = time.perf_counter()
    tokens = _decode(session, branches, steps + 1)
    for branch in branches:
        if branch.measured and not math.isfinite(sum(session.generated(branch).contributions.values())):
            raise RuntimeError(f"branch {branch.name!r}: its contributions are no numbers")
    return Timed(time.perf_counter() - started, tokens)


def whole(backend: Backend, prompt: EncodedPrompt, branches: Sequence[Branch], *, tokens: int) -> Timed:
    """Seconds from opening a session to the last of `tokens` tokens of every branch."""
    started = time.perf_counter()
    with closing(backend.open(prompt, Stop())) as session:
        said = decode(session, branches, steps=tokens - 1).tokens
    return Timed(time.perf_counter() - started, said)


def _decode(session: Session, branches: Sequence[Branch], tokens: int) -> Tokens:
    """Tokens of every branch.

    Raises:
        RuntimeError: there are fewer than asked for, so that times of different work would be compared.
    """
    said: dict[str, list[int]] = {branch.name: [] for branch in branches}
    for token in session.decode(branches, {branch.name: Decoding(max_tokens=tokens) for branch in branches}):
        said[token.branch].append(token.id)
    short = {name: len(ids) for name, ids in said.items() if len(ids) != tokens}
    if short:
        raise RuntimeError(f"branches ended before {tokens} tokens: {short}")
    return tuple(tuple(ids) for ids in said.values())
