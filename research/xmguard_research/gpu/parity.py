"""One prompt under many biases on two engines, and how far what they find is apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xmguard.backends.vllm.gpu_evidence import Parity
from xmguard.bias import REMOVE, AttentionBias, FloorShares, SoftenShares, TargetShares
from xmguard.context import EncodedPrompt, SpanMap, SpanTokens
from xmguard.contracts import Backend, Branch
from xmguard.deadline import Stop
from xmguard.measurement import Cube
from xmguard.request import Decoding, Scope

TOKENS = 24
"""Decoded by the reference, and scored by both."""
SENTENCES = (
    "The museum opened in 1962 on the north bank of the river, and its first director came from Oslo. ",
    "According to the city's archive the museum opened in 1975 on the south bank, under a director from Bergen. ",
    "Visitors pay nothing on the first Sunday of every month, except in August. ",
)
ASKED = "\n\nQuestion: When did the museum open?\nAnswer: It opened in"
BIASES = {
    "nothing": AttentionBias(),
    "lifted": AttentionBias({"s0": 2.0}),
    "lowered": AttentionBias({"s1": -6.0}),
    "removed": AttentionBias({"s1": REMOVE}),
    "three at once": AttentionBias({"s0": -1.0, "s1": 2.5, "s2": 0.5}),
    "generated rows": AttentionBias({"s0": 3.0}, Scope.GENERATED),
    "all rows": AttentionBias({"s0": 1.0}, Scope.ALL),
    "target shares": AttentionBias(rule=TargetShares({"s0": 0.3, "s1": 0.3})),
    "floor": AttentionBias({"s2": 0.5}, rule=FloorShares({"s0": 0.5, "s1": 1.0}, cap=2.0)),
    "softened": AttentionBias(rule=SoftenShares(2.0)),
}


@dataclass(frozen=True)
class Reading:
    """What an engine finds of a branch."""

    answer: tuple[int, ...]
    scores: tuple[float, ...]
    """Nats."""
    norms: Cube
    masses: Cube


def prompt_of(backend: Backend, repeats: int) -> EncodedPrompt:
    """Three spans, each its sentence as often as asked: long ones cross pages, chunks and windows."""
    ids: tuple[int, ...] = ()
    spans = []
    for number, sentence in enumerate(SENTENCES):
        own = backend.ids(sentence * repeats)
        spans.append(SpanTokens(f"s{number}", len(ids), len(ids) + len(own)))
        ids += own
    tail = backend.ids(ASKED)
    return EncodedPrompt(ids, SpanMap(tuple(spans), len(ids)), tail, tail)


def read(backend: Backend, prompt: EncodedPrompt, bias: AttentionBias, answer: Sequence[int] | None = None) -> Reading:
    """Measure a branch's tail and score an answer after it; without one, its own greedy answer."""
    session = backend.open(prompt, Stop())
    branch = Branch("read", prompt.joint_tail, bias, measured=True)
    try:
        measured = session.measure(branch)
        if answer is None:
            decoding = {branch.name: Decoding(max_tokens=TOKENS)}
            answer = tuple(token.id for token in session.decode([branch], decoding))
        scores = session.score([(branch, tuple(answer))])[0]
    finally:
        session.close()
    return Reading(tuple(answer), tuple(scores), measured.norms, measured.masses)


def compare(case: str, repeats: int, want: Reading, got: Reading, *, backend: str, dtype: str, graphs: bool) -> Parity:
    """How far `got` is from `want`; not a number anywhere is infinitely far."""
    return Parity(
        case=case,
        repeats=repeats,
        backend=backend,
        dtype=dtype,
        logprob=_worst(abs(a - b) for a, b in zip(want.scores, got.scores, strict=True)),
        mass=_worst(abs(a - b) for a, b, _ in _cells(want.masses, got.masses)),
        norm=_worst(abs(a - b) / largest for a, b, largest in _cells(want.norms, got.norms)),
        graphs=graphs,
    )


def _cells(want: Cube, got: Cube) -> list[tuple[float, float, float]]:
    """Both values of every layer, head and segment, and the largest wanted of the layer."""
    cells = []
    for wanted_layer, found_layer in zip(want, got, strict=True):
        largest = max(max(head) for head in wanted_layer) or 1.0
        for wanted, found in zip(wanted_layer, found_layer, strict=True):
            cells += [(a, b, largest) for a, b in zip(wanted, found, strict=True)]
    return cells


def _worst(differences: Iterable[float]) -> float:
    values = list(differences)
    return float("inf") if any(value != value for value in values) else max(values, default=0.0)
