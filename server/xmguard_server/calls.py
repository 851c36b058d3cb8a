"""The one core behind every interface: what a call asks for goes to the workers, under the server's bounds.

gRPC, HTTP and the page on the admin port read their own kinds of requests and write their own kinds of answers; whether
there is a worker, how long a call may take, and its place in the queue are settled here, so that all of them have the
same limits and the same errors. An interface that has the contract's bytes passes them through; one that has values
takes the same path with what `xmguard.wire` makes of them. Knows no transport.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from functools import partial

from xmguard import wire
from xmguard.deadline import Stop
from xmguard.errors import ModelNotFound, XmguardError, quoted
from xmguard.request import AnswerRequest
from xmguard.response import CheckResponse, Event, ModelInfo
from xmguard_server.access_log import note
from xmguard_server.admission import WITHOUT_EVIDENCE, Admission, Place
from xmguard_server.config import ServerConfig
from xmguard_server.metrics import Metrics
from xmguard_server.workers.pool import PlacedCall, Pool
from xmguard_server.workers.remote import AtOnce, GuardMethod, Size


@dataclass(frozen=True)
class Call:
    """What an interface knows of a call, beside the request."""

    request_id: str
    """Told to the caller and to the log."""
    timeout: float | None = None
    """Seconds that the caller waits; None if it did not say."""
    caller: str = ""
    """Who asks, by the name of its credentials; empty where nobody has to say."""


class Calls:
    """Calls of the guard, whoever carries them."""

    def __init__(self, pool: Pool, admission: Admission, config: ServerConfig, metrics: Metrics) -> None:
        self._pool = pool
        self._admission = admission
        self._config = config
        self._metrics = metrics
        self._preparing = 0

    @property
    def ready(self) -> bool:
        """Whether a call that comes now is served: the one rule behind every probe."""
        return self._admission.open

    async def responses(self, method: GuardMethod, body: bytes, call: Call) -> AsyncGenerator[bytes, None]:
        """A method's responses to a request, both packed. Close the iterator (`contextlib.aclosing`).

        However it is left, the call is cancelled on its worker, and its place is free again within one step.

        Raises:
            XmguardError: what refuses or ends the call.
        """
        placed, place = await self._begin(method, body, call)
        last = False
        # grpc reports a caller that went away as CancelledError or as GeneratorExit; only `finally` sees every case.
        try:
            note(queue_seconds=round(place.waited, 6))
            while not last:
                response, last = await placed.response()
                yield response
        except XmguardError as error:
            self._metrics.violated(error.violations)
            raise
        finally:
            placed.cancel()
            placed.when_over(lambda: place.leave(done=last))

    async def stream(self, request: AnswerRequest, call: Call) -> AsyncGenerator[Event, None]:
        """The events of an answer, Done last; to be closed, and raises, as `responses`."""
        body = wire.STREAM_ANSWER.pack_request(request)
        async with aclosing(self.responses(wire.STREAM_ANSWER, body, call)) as responses:
            async for response in responses:
                yield wire.STREAM_ANSWER.unpack_response(response)[1]

    async def check(self, request: AnswerRequest, call: Call) -> CheckResponse:
        """The verdict and the contributions; raises what `responses` raises."""
        return wire.CHECK.unpack_response(await self.response(wire.CHECK, wire.CHECK.pack_request(request), call))

    async def response(self, method: GuardMethod, body: bytes, call: Call) -> bytes:
        """The one response of a method that does not stream; raises what `responses` raises."""
        async with aclosing(self.responses(method, body, call)) as responses:
            return await anext(responses)

    def describe(self, model: str = "") -> ModelInfo:
        """What is served.

        Raises:
            ModelNotFound: it is another model.
            XmguardError: no worker has loaded it yet.
        """
        info = self._pool.info
        if model and model != info.model:
            raise ModelNotFound(f"model: {quoted(model)} is not served here; served: {info.model}")
        return info

    async def _begin(self, method: GuardMethod, body: bytes, call: Call) -> tuple[PlacedCall, Place]:
        """Let a call in and start it: at once where a slot is free, else when its turn comes, which needs its cost."""
        stop = self._stop(call)
        place = self._admission.at_once(call.caller, stop, preparing=self._preparing)
        with ExitStack() as failed:
            if place is not None:
                failed.callback(place.leave, done=False)
                at_once = AtOnce(self._config.max_queue_cost, partial(self._told, place))
                placed = self._pool.call(method, body, call.request_id, stop, at_once)
            else:
                placed = self._pool.call(method, body, call.request_id, stop)
                failed.callback(placed.cancel)
                size = await self._size(placed)
                place = await self._admission.place(
                    size.cost, size.cost_without_evidence, call.caller, stop, may_skip_evidence=size.may_skip_evidence
                )
                failed.callback(place.leave, done=False)
                self._metrics.waited(place.waited)
                placed.run(place.waited, "" if place.evidence else WITHOUT_EVIDENCE)
            failed.pop_all()
        return placed, place

    def _told(self, place: Place, cost: int) -> None:
        place.told(cost)
        self._metrics.waited(place.waited)

    async def _size(self, placed: PlacedCall) -> Size:
        self._preparing += 1
        try:
            return await placed.size()
        except XmguardError as error:
            self._metrics.violated(error.violations)
            raise
        finally:
            self._preparing -= 1

    def _stop(self, call: Call) -> Stop:
        wanted = self._config.default_deadline if call.timeout is None else call.timeout
        return Stop(min(wanted, self._config.max_deadline))
