"""A vLLM engine in the test's own process, with xmguard's worker in it, and what its side channel told."""

from __future__ import annotations

import gc
import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_PLUGINS": "",  # what is installed is for the tests of the front; here the plugin is put in by hand
}

import msgspec
import torch
import zmq

from xmguard.backends.vllm.picture_prompts import PreparedPictures
from xmguard.backends.vllm.sealing import new_secret, opened
from xmguard.backends.vllm.spec import KEY, ReadingSpec
from xmguard.backends.vllm.worker import plugin
from xmguard.backends.vllm.worker.readings import readings_of
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens

NUMBERS = itertools.count()
MARK = "everything before this"


@dataclass(frozen=True)
class Asked:
    """One request; without a span map it has no reading."""

    ids: Sequence[int]
    span_map: SpanMap | None = None
    bias: AttentionBias = field(default_factory=AttentionBias)
    steps: int = 16
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of its `ReadingSpec`; `measured` and `told` are true unless it says otherwise."""
    pictures: PreparedPictures | None = None
    """Of its context."""

    def spec(self, name: str) -> ReadingSpec:
        places = () if self.pictures is None else self.pictures.places
        fields = {"prompt_tokens": len(self.ids), "measured": True, "told": True, "pictures": places} | self.more
        return ReadingSpec(id=name, span_map=self.span_map, bias=self.bias, **fields)


@dataclass
class Read:
    """What came of it."""

    tokens: list[int]
    logprobs: list[float]
    cached: int
    """Tokens of the prompt that were read from the prefix cache."""
    told: list[dict[str, Any]]

    def only(self, kind: str) -> dict[str, Any]:
        """The one message of a kind."""
        found = [message for message in self.told if message["kind"] == kind]
        assert len(found) == 1, [message["kind"] for message in self.told]
        return found[0]

    @property
    def errors(self) -> list[str]:
        return [message["text"] for message in self.told if message["kind"] == "error"]

    @property
    def entropies(self) -> list[float]:
        told = [message for message in self.told if message["kind"] == "token"]
        assert [message["index"] for message in told] == list(range(len(told)))
        return [message["entropy"] for message in told]


def array(message: dict[str, Any], name: str) -> torch.Tensor:
    """Sums of one message, [layer, head, segment]."""
    return torch.frombuffer(bytearray(message[name]), dtype=torch.float32).view(message["shape"])


class Engine:
    def __init__(self, folder, adapters: dict[str, Any] | None = None, **options: Any) -> None:
        from vllm import LLM

        torch._dynamo.config.disable = True  # vLLM compiles how it counts ranks, which takes a minute
        plugin.register()
        self.everything: list[dict[str, Any]] = []
        self._socket = zmq.Context.instance().socket(zmq.PULL)
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._channel = {"address": f"tcp://127.0.0.1:{port}", "secret": new_secret()}
        settings = {
            "dtype": "float32",
            "enforce_eager": True,
            "max_model_len": 512,
            "block_size": 32,
            "max_num_seqs": 32,
            "kv_cache_memory_bytes": 32 << 20,
            "generation_config": "vllm",
            "logits_processors": [plugin.TAP],
            "worker_extension_cls": plugin.EXTENSION,
            "additional_config": {KEY: {**self._channel, "adapters": adapters or {}}},
        }
        # vLLM looks into everything that is imported, and llvmlite, which an engine before has, does not bear it.
        hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "llvmlite"}
        self.llm = LLM(str(folder), **(settings | options))
        sys.modules.update(hidden)
        (self.examined,) = self.llm.collective_rpc("xmguard_examine")

    def read(self, *requests: Asked) -> list[Read]:
        """Run requests as one batch."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        names = [f"r{next(NUMBERS)}" for _ in requests]
        params = [
            SamplingParams(
                max_tokens=asked.steps,
                temperature=0.0,
                logprobs=0,
                ignore_eos=True,
                extra_args=None if asked.span_map is None else {KEY: asked.spec(name).to_json()},
            )
            for name, asked in zip(names, requests, strict=True)
        ]
        prompts = [
            {**(asked.pictures.rendered if asked.pictures else {"type": "token"}), "prompt_token_ids": list(asked.ids)}
            for asked in requests
        ]
        inner, ended = self.llm.llm_engine, {}
        for name, prompt, own in zip(names, prompts, params, strict=True):
            inner.add_request(name, prompt, own)  # `LLM.generate` would render it again, and lose its pictures
        while inner.has_unfinished_requests():
            ended |= {output.request_id: output for output in inner.step() if output.finished}
        outputs = [ended[name] for name in names]
        # vLLM hears in the next step which requests have ended.
        self.llm.generate(TokensPrompt(prompt_token_ids=[1]), SamplingParams(max_tokens=1), use_tqdm=False)
        told = self.told()
        return [
            Read(
                list(output.outputs[0].token_ids),
                [
                    place[token].logprob
                    for place, token in zip(output.outputs[0].logprobs, output.outputs[0].token_ids, strict=True)
                ],
                output.num_cached_tokens,
                [message for message in told if message["id"] == name],
            )
            for name, output in zip(names, outputs, strict=True)
        ]

    def render(self, prompt: Any, stop: Any) -> Any:
        """As `xmguard.backends.vllm.engine.Engine.render`."""
        (rendered,) = self.llm.llm_engine.renderer.render_cmpl([prompt])
        return rendered

    def told(self) -> list[dict[str, Any]]:
        """Messages that have come since this was last asked; `everything` keeps them all."""
        messages = []
        # What the worker tells comes in order: with this, all that it told before is there.
        readings_of(self.llm.llm_engine.vllm_config).channel.error(MARK, "")
        while True:
            assert self._socket.poll(60_000), "the worker's messages do not arrive"
            told = opened(self._channel["secret"], self._socket.recv_multipart())
            message = msgspec.msgpack.decode(told)
            if message["id"] == MARK:
                break
            messages.append(message)
        self.everything += messages
        return messages

    @property
    def known(self) -> int:
        """Requests whose state the worker holds."""
        (count,) = self.llm.collective_rpc("xmguard_known")
        return count

    def close(self) -> None:
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        self._socket.close()
        cleanup_dist_env_and_memory()
        gc.collect()


def tokens(count: int, seed: int = 0) -> list[int]:
    """Ids of plain bytes."""
    return torch.randint(3, 250, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def unmeasured(asked: Asked) -> Asked:
    return replace(asked, more=asked.more | {"measured": False})


SPANS = SpanMap((SpanTokens("a", 7, 41), SpanTokens("b", 41, 83), SpanTokens("c", 90, 97)), 97)
PROMPT = tokens(118)
