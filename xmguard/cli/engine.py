"""The options with which commands choose an engine, and what they come to. Imports no engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from xmguard.errors import InvalidRequest

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
        "--engine-option",
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
            raise InvalidRequest.field("--engine-option", f"{pair!r} is no NAME=VALUE, such as max_num_seqs=64")
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
