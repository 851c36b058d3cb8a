"""What a worker needs of a guard, and how it is told which one to load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

from xmguard.deadline import Stop
from xmguard.request import AnswerRequest
from xmguard.response import CheckResponse, Event, ModelInfo


class ServedBackend(Protocol):
    """What a worker needs of the model under a guard. Safe on any thread."""

    @property
    def concurrency(self) -> int:
        """Requests that may run at once."""
        ...

    @property
    def failure(self) -> str:
        """Why nothing can be answered any more; empty while it can."""
        ...

    def close(self) -> None:
        """Free the model; what still runs on it fails."""
        ...


class ServedRequest(Protocol):
    """A request that is validated and encoded. What it costs is counted in tokens, none of them run yet."""

    @property
    def cost(self) -> int:
        """What is run for it at most."""
        ...

    @property
    def cost_without_evidence(self) -> int:
        """The same when its evidence is skipped."""
        ...

    @property
    def may_skip_evidence(self) -> bool:
        """Whether the request allows that."""
        ...


class ServedGuard(Protocol):
    """What a worker needs of a guard. Called on as many threads at once as its backend takes, `describe` on any."""

    @property
    def backend(self) -> ServedBackend:
        """The model under it."""
        ...

    @property
    def observer_failures(self) -> Mapping[str, int]:
        """How often each observer raised, by its name."""
        ...

    def prepare(self, request: AnswerRequest, *, answers: bool) -> ServedRequest:
        """Validate and encode a request, to be answered or only checked.

        Raises XmguardError for one that is not valid.
        """
        ...

    def stream(
        self, request: Any, *, stop: Stop, request_id: str, queue_seconds: float, skip_evidence: str
    ) -> Iterator[Event]:
        """Events of an answer to what `prepare` returned; Done is the last. Raises XmguardError.

        `skip_evidence` says why there is to be no verdict, for people; empty for a verdict.
        """
        ...

    def check(
        self, request: Any, *, stop: Stop, request_id: str, queue_seconds: float, skip_evidence: str
    ) -> CheckResponse:
        """The verdict and the contributions."""
        ...

    def describe(self, model: str = "") -> ModelInfo:
        """What is served; cheap, and safe on any thread. Raises ModelNotFound."""
        ...


@dataclass(frozen=True)
class Loading:
    """Which guard a worker is to load: a function by name, and what it is called with. Plain data, to be pickled."""

    function: str
    """`module:function`. It is also given `observers` and `progress`, as `xmguard.loading.load_guard` takes them."""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, **more: Any) -> ServedGuard:
        """Import the function and call it; raises what they raise."""
        module, name = self.function.split(":")
        return cast("Callable[..., ServedGuard]", getattr(import_module(module), name))(**self.arguments, **more)
