"""An explanation as the arrays of an .npz file. Numbers, ids and provenance; no text of a span, question or answer."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from xmguard.explanation import Explanation
from xmguard.measurement import Cube

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.str_]

REST = "(rest)"
"""Name of segment 0, everything that is no span."""


def arrays(explanation: Explanation) -> dict[str, Array]:
    """Name to array. What was not measured is left out: an absent number is never a 0.

    `[layer, head, segment]` in float64: `norms_*` (mean ||u_k||_2), `masses_*` (mean attention mass) and `epsilon*`
    (mean nats applied), over the prompt's reader rows without (`_before`) and with (`_after`) the bias, and over the
    answer's rows that were read back (`_generated`); `toward_answer` (nats). `[segment]`: `segments`, `tokens`. The
    others are single texts.
    """
    import numpy as np

    before, after, generated = explanation.before, explanation.after, explanation.generated
    spans = [len(span) for span in before.span_map]
    stamp = explanation.response.served_by
    cubes: dict[str, Cube] = {
        "norms_before": before.norms,
        "norms_after": after.norms,
        "masses_before": before.masses,
        "masses_after": after.masses,
    }
    found: dict[str, Array] = {
        # Where nothing was applied there are no epsilons, and what was applied is 0.
        "epsilon": np.array(after.epsilons) if after.epsilons else np.zeros(np.shape(after.norms)),
    }
    if generated is not None and generated.rows:
        cubes |= {"norms_generated": generated.norms, "masses_generated": generated.masses}
        found["epsilon_generated"] = (
            np.array(generated.epsilons) if generated.epsilons else np.zeros(np.shape(generated.norms))
        )
    if explanation.directed is not None:
        cubes["toward_answer"] = explanation.directed.logits
    texts = {
        "model": stamp.model,
        "model_hash": stamp.model_hash,
        "dtype": stamp.dtype,
        "policy": explanation.response.rebalancing.policy,
        "xmguard_version": stamp.xmguard_version,
    }
    return {
        **{name: np.array(cube, dtype=np.float64) for name, cube in cubes.items()},
        **found,
        "segments": np.array([REST, *before.span_map.ids]),
        "tokens": np.array([explanation.response.usage.prompt_tokens - sum(spans), *spans]),
        **{name: np.array(text) for name, text in texts.items()},
    }


def npz(explanation: Explanation) -> bytes:
    """The arrays as a compressed .npz file; `numpy.load` reads it without pickle."""
    import numpy as np

    file = BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays(explanation))
    return file.getvalue()
