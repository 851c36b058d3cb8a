"""Where answers come from: a server, or a model loaded into this process. Commands see no difference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from xmguard.cli.access import Access
from xmguard.cli.terminal import progress
from xmguard.errors import InvalidRequest
from xmguard.loading import load_guard
from xmguard.models.resolve import default_model
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest
from xmguard.response import AnswerResponse, CheckResponse, Event


class Answerer(Protocol):
    """What `xmguard.Guard` and `xmguard.Client` have in common."""

    def stream(self, request: AnswerRequest) -> Iterator[Event]:
        """The answer as it comes."""
        ...

    def answer(self, request: AnswerRequest) -> AnswerResponse:
        """The whole answer."""
        ...

    def check(self, request: AnswerRequest) -> CheckResponse:
        """The verdict without the answer."""
        ...


@contextmanager
def connect(
    access: Access, request: AnswerRequest, profile: Path | None = None
) -> Iterator[tuple[Answerer, AnswerRequest]]:
    """Something that answers, and the request to put to it.

    A server is asked for the model by name. In this process the name says what to load, and a loaded guard has only
    that one model, so the request no longer names it. `profile` replaces the one that comes with that model.

    Raises:
        InvalidRequest: a profile was given for a server, which has its own.
    """
    if access.server and profile is not None:
        raise InvalidRequest.field("--profile", "a server has its own; give it to: xmguard serve --profile FILE")
    if access.server:
        with access.client() as client:
            yield client, request
    else:
        registry = load_plugins()
        name = request.model or default_model(registry)
        with progress(f"loading {name}") as step:
            guard = load_guard(name, profile=profile, registry=registry, progress=step)
        yield guard, replace(request, model="")
