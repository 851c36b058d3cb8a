"""How a model reads a case without bias: what it answers, what each source contributes, and what each says alone.

One row a case holds all that the analyses of plain reading need, so that they can share a file of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmguard import Decoding, Guard
from xmguard.alone import AloneReading
from xmguard.contracts import Token
from xmguard.measurement import Cube
from xmguard_research.analyses.opening import Asking, labels, opened
from xmguard_research.benchmarks.cases import Case
from xmguard_research.metrics.draws import Array
from xmguard_research.results import append, known, producer

_DIGITS = 8
"""Of a number in a row: as many as float32 has."""


@dataclass(frozen=True)
class Reading:
    """One case, read without bias. Lists by layer, head and segment have the rest first, then the sources."""

    key: str
    produced_by: str
    labels: list[str]
    """Modality or language of each source."""
    tokens: list[int]
    """Of each source."""
    norms: list[list[list[float]]]
    """Mean of ||u_k|| over the prompt's reader rows, [layer][head][segment]."""
    generated: list[list[list[float]]]
    """Mean attention mass over the answer's tokens that were read back, [layer][head][segment]; empty without any."""
    answer: str
    toward_answer: list[float] | None
    """Nats of logit that each source adds to the answer, mean per token; None without an answer."""
    toward_known: list[list[float]]
    """The same for what each source is known to answer, [answer][source]; empty unless these differ."""
    alone: list[str]
    """What the model answers from each source alone."""
    entropies: list[float | None]
    """Nats over the vocabulary at that answer's first content token."""

    @property
    def contributions(self) -> list[float]:
        """Mean over layers and heads, of each source: the guard's headline number."""
        return [float(value) for value in _array(self.norms).mean((0, 1))[1:]]

    @property
    def by_layer(self) -> Array:
        """Mean over heads, [layer, source]."""
        return np.asarray(_array(self.norms).mean(1)[:, 1:])

    @property
    def by_head(self) -> Array:
        """[layer, head, source]."""
        return _array(self.norms)[:, :, 1:]

    @property
    def masses(self) -> Array:
        """Attention mass of the answer's tokens, mean over heads, [layer, segment]."""
        return np.asarray(_array(self.generated).mean(1))


Read = tuple[Case, Reading]


def readings(guard: Guard, cases: Sequence[Case], asking: Asking, rows: Path) -> list[Read]:
    """Every case with its reading; those that `rows` has are not asked again.

    Raises:
        InvalidRequest: a case cannot be asked.
        typer.BadParameter: `rows` holds what another model or version said.
    """
    done = known(rows, Reading, producer(guard))
    missing = [case for case in cases if asking.key(case) not in done]

    def measure(case: Case) -> list[Reading]:
        return [read(guard, case, asking)]

    done |= {row.key: row for row in append(rows, missing, measure, "reading cases")}
    return [(case, done[asking.key(case)]) for case in cases]


def read(guard: Guard, case: Case, asking: Asking) -> Reading:
    """Read one case: joint and alone decoded as one batch."""
    with opened(guard, case, asking) as on:
        alone = AloneReading(guard.backend, on.context, on.prompt)
        session = on.session
        session.prepare([on.joint, *alone.branches])
        before = session.measure(on.joint)
        said: list[Token] = []
        decoding = {on.joint.name: Decoding(max_tokens=asking.tokens), **alone.decoding}
        for token in session.decode([on.joint, *alone.branches], decoding):
            if not alone.take(token) and not token.is_end:
                said.append(token)
        generated = session.generated(on.joint)
        spans = before.span_map.ids
        answer = [token.id for token in said]

        def toward(ids: Sequence[int]) -> list[float]:
            found = session.directed(on.joint, ids).toward
            return [_rounded(found[span]) for span in spans]

        differ = len(set(case.answers)) > 1
        answers = alone.answers()
        return Reading(
            key=asking.key(case),
            produced_by=producer(guard),
            labels=labels(on.context),
            tokens=[len(span) for span in before.span_map],
            norms=_lists(before.norms),
            generated=_lists(generated.masses) if generated.rows else [],
            answer=guard.backend.text(answer),
            toward_answer=toward(answer) if answer else None,
            toward_known=[toward(guard.backend.ids(one)) for one in case.answers] if differ else [],
            alone=[answers[span].text for span in spans],
            entropies=[answers[span].entropy for span in spans],
        )


def _lists(cube: Cube) -> list[list[list[float]]]:
    return [[[_rounded(value) for value in head] for head in layer] for layer in cube]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _array(values: list[list[list[float]]]) -> Array:
    return np.array(values, dtype=np.float64)
