"""The options with which commands choose an engine, and what they come to. Imports no engine."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from xmguard.errors import FieldViolation, InvalidRequest

_OPTION = "--engine-option"
_FLAGS = {
    "tensor_parallel_size": "--tensor-parallel-size",
    "concurrency": "--concurrency",
    "experimental": "--experimental",
    "base_url": "--base-url",
}
"""Flags of options that have one of their own."""

EngineName = Annotated[str, typer.Option(help="What runs the model: an engine that `xmguard plugins` lists.")]
TensorParallel = Annotated[
    int, typer.Option("--tensor-parallel-size", min=1, help="Engine vllm: ranks that share every layer.")
]
Concurrency = Annotated[
    int,
    typer.Option(min=0, help="Engines vllm and openai: requests answered at once; 0 leaves it to the engine."),
]
BaseUrl = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Engine openai: the API, up to and with /v1. Without it: OPENAI_BASE_URL of the environment, or OpenAI's. "
        "The key is taken from OPENAI_API_KEY.",
    ),
]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        _OPTION,
        metavar="NAME=VALUE",
        help="Engine vllm: an argument of vLLM's engine; engine openai: timeout, retries, parallel, context_length, "
        "pictures or request. The value as JSON or as text. Repeatable.",
    ),
]
Experimental = Annotated[bool, typer.Option("--experimental", help="Serve on what is not verified, such as CUDA.")]


def engine_options(
    pairs: Sequence[str] | None,
    *,
    tensor_parallel: int,
    concurrency: int,
    experimental: bool,
    base_url: str = "",
) -> dict[str, Any]:
    """What an engine is told beside its model, by name; only what was asked for.

    Raises:
        InvalidRequest: a pair is none.
    """
    options: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidRequest.field(_OPTION, f"{pair!r} is no NAME=VALUE, such as max_num_seqs=64")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    if tensor_parallel > 1:
        options["tensor_parallel_size"] = tensor_parallel
    if concurrency:
        options["concurrency"] = concurrency
    if experimental:
        options["experimental"] = True
    if base_url:
        options["base_url"] = base_url
    return options


@contextmanager
def flags_named(options: Collection[str]) -> Iterator[None]:
    """Says of an engine's refusals which flag each is about; `options` are the names of those that were given.

    Raises:
        InvalidRequest: what the block raised, with flags for fields.
    """
    try:
        yield
    except InvalidRequest as error:
        named = [
            FieldViolation(_FLAGS.get(found.field, f"{_OPTION} {found.field}"), found.description)
            if found.field in options
            else found
            for found in error.violations
        ]
        raise InvalidRequest(named, reason=error.reason) from error
