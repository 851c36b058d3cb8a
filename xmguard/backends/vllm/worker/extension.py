"""What the front may ask of every worker, by `collective_rpc`.

Examining the loaded model comes first: a request with a reading is refused by a worker that was not examined.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from xmguard import __version__
from xmguard.backends.vllm.picture_prompts import feature_ranges
from xmguard.backends.vllm.spec import KEY, PicturePlace, ReadingSpec
from xmguard.backends.vllm.worker.cpu import cache_kinds
from xmguard.backends.vllm.worker.examination import attention_layers, examine
from xmguard.backends.vllm.worker.paths import chosen
from xmguard.backends.vllm.worker.readings import Readings, readings_of
from xmguard.backends.vllm.worker.scoring import install_scoring


class Extension:
    """Methods that vLLM adds to its worker class."""

    model_runner: Any
    vllm_config: Any

    def xmguard_examine(self) -> dict[str, Any]:
        """Find out about the loaded model what readings need.

        Returns:
            `version`: xmguard's on this rank, `layers`, `heads` (over all ranks), `path`: how rows are read, in words,
            and `reasons`: why readings cannot be had from it; empty if they can; `scores`: whether the worker tells of
            what is scored.
        """
        readings = self._xmguard_readings()
        facts, reasons = examine(self.model_runner, readings)
        if facts is None:
            return {"version": __version__, "layers": 0, "heads": 0, "path": "", "reasons": reasons}
        compiled = self.vllm_config.additional_config[KEY].get("compiled", True)
        kinds = cache_kinds(attention_layers(self.vllm_config).values())
        readings.path, path = chosen(kinds, len(facts.factors), compiled=compiled)
        readings.facts = facts
        install_scoring(self.model_runner.model, readings)
        runner = self.model_runner
        readings.is_alive = lambda request: any(_id(state) == request for state in runner.requests.values())
        if runner.supports_mm_inputs:
            readings.pictures = lambda request: _pictures(runner, request)
        found = {"layers": len(facts.factors), "heads": facts.heads, "path": path, "reasons": [], "scores": True}
        return {"version": __version__, **found}

    def xmguard_generated(self, requests: list[str]) -> None:
        """Tell what has been summed over generated tokens of these so far; the answer comes by the side channel."""
        self._xmguard_readings().tell_generated(requests)

    def xmguard_known(self) -> int:
        """How many requests with a reading are held."""
        return len(self._xmguard_readings())

    def _xmguard_readings(self) -> Readings:
        readings = readings_of(self.vllm_config)
        if readings is None:
            raise RuntimeError(f"the engine was started without {KEY!r} in its additional_config")
        return readings


def _id(state: Any) -> str | None:
    text = (getattr(state.sampling_params, "extra_args", None) or {}).get(KEY)
    return None if text is None else _id_of(text)


@lru_cache(maxsize=4096)
def _id_of(text: str) -> str:
    return ReadingSpec.from_json(text).id


def _pictures(runner: Any, request: str) -> tuple[PicturePlace, ...]:
    """What vLLM holds of a request that is in its batch, in the order of the prompt."""
    state = next(state for state in runner.requests.values() if _id(state) == request)
    return tuple(PicturePlace(each.identifier, feature_ranges(each.mm_position)) for each in state.mm_features)
