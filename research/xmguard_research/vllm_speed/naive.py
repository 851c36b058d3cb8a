"""What one would do without xmguard: an OpenAI-compatible server of plain vLLM, and a call for each reading."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from xmguard.alone import MAX_ANSWER_TOKENS
from xmguard.context import EncodedPrompt

STARTS_IN = 300.0
"""Seconds that the server has for loading the model."""
_NAME = "plain"


@dataclass(frozen=True)
class Call:
    """One completion."""

    ids: tuple[int, ...]
    tokens: int
    """At most."""
    single_line: bool = False
    scored: bool = False
    """Whether the log-probabilities of the prompt's tokens are asked for."""


def scoring_calls(prompt: EncodedPrompt, answers: Sequence[tuple[int, ...]]) -> list[Call]:
    """What each span's answer is worth under every other span, and with no span at all; `answers` are token ids."""
    preamble = prompt.context_ids[: prompt.span_map.spans[0].start]
    texts = [prompt.context_ids[span.start : span.stop] for span in prompt.span_map]
    readers = [
        (text, answer) for number, answer in enumerate(answers) for other, text in enumerate(texts) if other != number
    ]
    readers += [((), answer) for answer in answers]
    return [Call((*preamble, *text, *prompt.alone_tail, *answer), 1, scored=True) for text, answer in readers]


def calls_of(prompt: EncodedPrompt, tokens: int) -> list[Call]:
    """The joint question, and each span asked alone: the readings that a comparison of answers needs."""
    preamble = prompt.context_ids[: prompt.span_map.spans[0].start]
    alone = [
        Call(
            (*preamble, *prompt.context_ids[span.start : span.stop], *prompt.alone_tail),
            MAX_ANSWER_TOKENS,
            single_line=True,
        )
        for span in prompt.span_map
    ]
    return [Call((*prompt.context_ids, *prompt.joint_tail), tokens, single_line=False), *alone]


class PlainServer:
    """`vllm serve` without plugins, in a process of its own; a context that ends it."""

    def __init__(self, folder: Path, *, length: int, dtype: str, options: Mapping[str, Any]) -> None:
        self._folder, self._length, self._dtype, self._options = folder, length, dtype, options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])

    def __enter__(self) -> PlainServer:
        arguments = {
            "model": str(self._folder),
            "served-model-name": _NAME,
            "host": "127.0.0.1",
            "port": str(self._port),
            "dtype": self._dtype,
            "max-model-len": str(self._length),
            "block-size": "32",
            "generation-config": "vllm",
            **{name.replace("_", "-"): str(value) for name, value in self._options.items()},
        }
        told = [part for name, value in arguments.items() for part in (f"--{name}", value)]
        told += ["--enforce-eager", "--disable-uvicorn-access-log"]
        environment = os.environ | {
            "VLLM_PLUGINS": "",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
            "TORCH_COMPILE_DISABLE": "1",
        }
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *told]
        self._process = subprocess.Popen(command, env=environment, stdout=sys.stderr)
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def complete(self, calls: Sequence[Call]) -> list[tuple[int, ...]]:
        """Token ids of every completion, greedily and all of them at once."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(self._complete, calls))

    def _complete(self, call: Call) -> tuple[int, ...]:
        asked: dict[str, Any] = {
            "model": _NAME,
            "prompt": list(call.ids),
            "max_tokens": call.tokens,
            "temperature": 0.0,
            "return_token_ids": True,
        }
        if call.scored:
            asked["prompt_logprobs"] = 0
        if call.single_line:
            asked["stop"] = ["\n"]
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/completions", json.dumps(asked), headers)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        if reply.status != http.client.OK:
            raise RuntimeError(f"plain vLLM answers {reply.status}: {body[:300]!r}")
        return tuple(json.loads(body)["choices"][0]["token_ids"])

    def _wait(self) -> None:
        end = time.monotonic() + STARTS_IN
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError("the server of plain vLLM does not start; its own lines above say why")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
                connection.request("GET", "/health")
                if connection.getresponse().status == http.client.OK:
                    return
            except OSError:
                pass  # not yet
            finally:
                connection.close()
            time.sleep(0.5)
        raise RuntimeError(f"the server of plain vLLM does not answer after {STARTS_IN:g} s")
