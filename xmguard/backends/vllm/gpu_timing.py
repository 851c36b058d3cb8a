"""Times decoding of one batch inside vLLM: `python -m xmguard.backends.vllm.gpu_timing ARGUMENTS-AS-JSON`.

A process for each variant, because a started engine keeps its attention: `plain` is vLLM without xmguard, `idle` has it
installed and no request of its own, `steered` biases and measures every request. Unverified on a GPU.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from xmguard.backends.vllm.sealing import new_secret
from xmguard.backends.vllm.spec import KEY, ReadingSpec
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens
from xmguard.errors import SetupIncomplete

VARIANTS = ("plain", "idle", "steered")
TAIL = 32
"""Tokens of a prompt after its spans."""
STEPS = 64
"""Decoded in each round."""
ROUNDS = 5


@dataclass(frozen=True)
class Timed:
    """What one process measures."""

    model: str
    variant: str
    backend: str
    dtype: str
    batches: tuple[int, ...]
    contexts: tuple[int, ...]

    def arguments(self) -> str:
        """As the process takes them."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Timed:
        """What `arguments` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            told = json.loads(text)
            told |= {name: tuple(told[name]) for name in ("batches", "contexts")}
            timed = Timed(**told)
        except (KeyError, TypeError) as error:
            raise ValueError(f"these are no arguments of a timing: {error}") from error
        if timed.variant not in VARIANTS:
            raise ValueError(f"variant is {timed.variant!r}; one of {', '.join(VARIANTS)}")
        return timed


def gpu() -> tuple[str, tuple[int, int], str]:
    """Name and capability of the GPU, and the version of vLLM that runs on it.

    Raises:
        SetupIncomplete: there is no GPU, or no vLLM for it.
    """
    import torch

    if not torch.cuda.is_available():
        raise SetupIncomplete("there is no CUDA GPU here, and what this shows cannot be shown on a CPU")
    try:
        import vllm
        from vllm.platforms import current_platform
    except ImportError as error:
        raise SetupIncomplete('vLLM is not installed; run: pip install "xmguard[vllm]"') from error
    if not current_platform.is_cuda():
        raise SetupIncomplete(f"the vLLM that is installed runs on {current_platform.device_type}, not on CUDA")
    return torch.cuda.get_device_name(), torch.cuda.get_device_capability(), str(vllm.__version__)


def reading(context: int) -> ReadingSpec:
    """Two spans that fill half of a context each, one of them lifted, and everything measured."""
    half = (context - TAIL) // 2
    spans = SpanMap((SpanTokens("a", 8, half), SpanTokens("b", half, context - TAIL)), context - TAIL)
    return ReadingSpec(uuid4().hex, spans, context, AttentionBias({"a": 1.0}), measured=True)


def measure(timed: Timed) -> list[tuple[int, int, float]]:
    """Batch, context and median seconds per decoded step of each."""
    from vllm import LLM

    with TemporaryDirectory(prefix="xmguard-gpu-") as folder:
        started: dict[str, Any] = {}
        if timed.variant != "plain":
            from xmguard.backends.vllm.worker import cuda_plugin

            address = f"ipc://{Path(folder) / 'told'}"
            _drain(address)
            started = {
                "logits_processors": [cuda_plugin.TAP],
                "worker_extension_cls": cuda_plugin.EXTENSION,
                "additional_config": {KEY: {"address": address, "secret": new_secret(), "adapters": {}}},
            }
        llm = LLM(
            model=timed.model,
            dtype=timed.dtype,
            attention_backend=timed.backend,
            skip_tokenizer_init=True,
            enable_prefix_caching=False,
            max_model_len=max(timed.contexts) + STEPS + 1,
            max_num_seqs=max(timed.batches),
            block_size=32,
            **started,
        )
        if started:
            reasons = [reason for rank in llm.collective_rpc("xmguard_examine") for reason in rank["reasons"]]
            if reasons:
                raise RuntimeError(f"xmguard cannot read this model: {'; '.join(reasons)}")
        vocabulary = llm.llm_engine.model_config.get_vocab_size()
        return [
            (batch, context, _seconds(llm, timed.variant, batch, context, vocabulary))
            for context in timed.contexts
            for batch in timed.batches
        ]


def _seconds(llm: Any, variant: str, batch: int, context: int, vocabulary: int) -> float:
    """Per step: a long generation less a short one, so that prefill falls out."""
    prompts = [
        {"prompt_token_ids": [(7 * row + 13 * at) % (vocabulary - 1000) + 500 for at in range(context)]}
        for row in range(batch)
    ]

    def run(tokens: int) -> float:
        params = [_params(variant, context, tokens) for _ in prompts]
        begun = time.perf_counter()
        llm.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - begun

    run(2)
    return median((run(STEPS + 1) - run(1)) / STEPS for _ in range(ROUNDS))


def _params(variant: str, context: int, tokens: int) -> Any:
    from vllm import SamplingParams

    extra = {KEY: reading(context).to_json()} if variant == "steered" else None
    return SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True, detokenize=False, extra_args=extra)


def _drain(address: str) -> None:
    """Take what the workers tell, so that nothing piles up."""
    import threading

    import zmq

    socket = zmq.Context.instance().socket(zmq.PULL)
    socket.bind(address)

    def take() -> None:
        while True:
            socket.recv_multipart()

    threading.Thread(target=take, daemon=True).start()


def main() -> None:
    """Print the result as one line of JSON, the last on stdout."""
    timed = Timed.read(sys.argv[1])
    if timed.variant == "plain":
        os.environ["VLLM_PLUGINS"] = ""
    print(json.dumps(measure(timed)), flush=True)


if __name__ == "__main__":
    main()
