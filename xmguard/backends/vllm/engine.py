"""AsyncLLM on an event loop of its own thread, for callers that are ordinary threads.

Hands requests in, and what is said and told of them out to their `Running`. When vLLM's processes die, everything that
runs ends with an error at once, and nothing new is taken. Knows nothing of sessions and branches.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xmguard.backends.vllm.running import Running
from xmguard.backends.vllm.sealing import new_secret, opened
from xmguard.backends.vllm.spec import KEY, ReadingSpec
from xmguard.deadline import Stop
from xmguard.errors import EngineError, ErrorCode, SetupIncomplete, XmguardError

PULSE = 0.2
"""Seconds between two looks at whether vLLM's processes live."""
_STOP_GRACE = 10.0
"""Seconds vLLM's processes get to end by themselves."""

log = logging.getLogger(__name__)


class Engine:
    """A started engine. Every method may be called on any thread."""

    def __init__(
        self, start: Callable[[Mapping[str, str]], Any], *, salted: bool = False, machines: bool = False
    ) -> None:
        """Start it; blocks until the model is loaded.

        Args:
            start: makes an `AsyncLLM` whose workers tell what they find to the `address` that it is given, under the
                `secret`; called on the engine's thread, within its loop. What it raises is raised here.
            salted: whether a request that changes keys shares none of its blocks with other readings, because vLLM's
                prefix cache cannot be told which ones it changes.
            machines: whether its workers may be on other machines. They then tell over TCP, to the address of this one
                that vLLM would take itself, or is given in VLLM_HOST_IP.
        """
        self.salted = salted
        """Whether such a request shares none of its blocks."""
        self._start = start
        self._folder = TemporaryDirectory(prefix="xmguard-vllm-")
        self._machines = machines
        self._secret = new_secret()
        self._running: dict[str, Running] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._llm: Any = None
        self._told: Any = None  # the socket on which the workers tell
        self._always: list[asyncio.Task[None]] = []
        self._failure = ""
        self._closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="xmguard-vllm", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self.close()
            raise

    @property
    def failure(self) -> str:
        """Why nothing can be run any more; empty while it can."""
        return self._failure

    @property
    def running(self) -> int:
        """Requests inside the engine, and those of which something has still to be told."""
        return len(self._running)

    def render(self, prompt: Mapping[str, Any], stop: Stop) -> Mapping[str, Any]:
        """What vLLM itself makes of a prompt with pictures: expanded, and prepared for its vision tower.

        Raises:
            EngineError: the engine has failed, or cannot take a picture.
            Cancelled, DeadlineExceeded: `stop` said so.
        """
        if self._failure or self._closing:
            raise self._lost()
        asked = asyncio.run_coroutine_threadsafe(self._llm.renderer.render_cmpl_async([dict(prompt)]), self._loop)
        try:
            while not wait([asked], PULSE).done:
                stop.check()
            (rendered,) = asked.result()
        except XmguardError:
            asked.cancel()
            raise
        except Exception as error:  # whatever a processor raises of a picture
            said = " ".join(str(error.__cause__ or error).split())[:300]
            raise EngineError(f"vLLM cannot prepare a picture: {said}", code=ErrorCode.INTERNAL) from error
        made: Mapping[str, Any] = rendered
        return made

    def submit(
        self,
        ids: Sequence[int],
        params: Any,
        spec: ReadingSpec,
        stop: Stop,
        *,
        pictures: Mapping[str, Any] | None = None,
        read: bool = True,
    ) -> Running:
        """Hand in a request; it runs from now on, and has to be given back by `drop`.

        Args:
            ids: its prompt.
            params: `SamplingParams`; `extra_args` is set here.
            spec: how it is to be read.
            stop: the caller's.
            pictures: what `render` made of a prompt that has the same pictures in the same places.
            read: False runs it as plain vLLM would, and nothing is told of it.

        Raises:
            EngineError: the engine has failed.
        """
        running = Running(spec, stop)
        if read:
            params.extra_args = {KEY: spec.to_json()}
        if self._failure or self._closing:
            raise self._lost()
        self._loop.call_soon_threadsafe(self._begin, running, list(ids), params, pictures)
        return running

    def abort(self, running: Running) -> None:
        """Generate no more of a request; what the workers tell of it at its end is still heard."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel, running)

    def drop(self, running: Running) -> None:
        """Forget a request; what of it still runs is aborted, and its place is free for others."""
        with suppress(RuntimeError):  # the loop is closed: everything is forgotten
            self._loop.call_soon_threadsafe(self._forget, running)

    def call(self, method: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        """What a method of the workers' extension returns, rank by rank.

        Raises:
            EngineError: the engine has failed, or does not answer in time.
        """
        if self._failure or self._closing:
            raise self._lost()
        asked = asyncio.run_coroutine_threadsafe(
            self._llm.collective_rpc(method, timeout=timeout, args=arguments), self._loop
        )
        try:
            # Of workers that have died nothing is said to whoever waits for their answer.
            while not wait([asked], PULSE).done:
                if self._failure or self._closing:
                    asked.cancel()
                    raise self._lost()
            found: list[Any] = asked.result()
            return found
        except EngineError:
            raise
        except Exception as error:
            if self._failure:
                raise self._lost() from error
            raise EngineError(f"the engine's workers failed at {method}: {error}", code=ErrorCode.INTERNAL) from error

    def close(self) -> None:
        """End vLLM's processes and the thread; does nothing the second time."""
        if self._closing:
            return
        self._closing = True
        atexit.unregister(self.close)
        if self._llm is None:  # it is being started, and the loop waits for that
            _abandon_start()
        if self._loop.is_running():
            done: Future[None] = asyncio.run_coroutine_threadsafe(self._shut(), self._loop)
            with suppress(TimeoutError):
                done.result(2 * _STOP_GRACE)
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_GRACE)
        self._folder.cleanup()

    # -- on the engine's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        # vLLM's processes inherit it: Ctrl-C in a terminal is for whoever serves, who lets requests finish.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _open(self) -> None:
        import zmq
        import zmq.asyncio

        self._told = zmq.asyncio.Context.instance().socket(zmq.PULL)
        self._told.set_hwm(0)
        address = self._listening()
        self._told.setsockopt(zmq.IPV6, "[" in address)
        try:
            self._told.bind(address)
        except zmq.ZMQError as error:
            remedy = "let TMPDIR name another folder, with a short path"
            if self._machines:
                remedy = "let VLLM_HOST_IP be this machine's address in the network of the others"
            raise SetupIncomplete(f"the workers cannot be heard at {address}: {error.strerror}; {remedy}") from error
        bound = self._told.getsockopt_string(zmq.LAST_ENDPOINT)
        self._llm = self._start({"address": bound, "secret": self._secret})
        self._always = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch())]
        for task in self._always:
            task.add_done_callback(self._ended)

    def _listening(self) -> str:
        """Where to listen to the workers."""
        if not self._machines:
            return f"ipc://{Path(self._folder.name) / 'told'}"
        from vllm.utils.network_utils import get_ip, get_tcp_uri

        return str(get_tcp_uri(get_ip(), 0))

    async def _listen(self) -> None:
        """Hand on what the workers tell, and nothing that others do."""
        import msgspec

        warned = False
        while True:
            told = opened(self._secret, await self._told.recv_multipart())
            if told is None:
                if not warned:
                    log.warning(
                        "someone else than the engine's workers sends to where they tell; all of that is dropped"
                    )
                warned = True
                continue
            message = msgspec.msgpack.decode(told)
            running = self._running.get(message["id"])
            if running is not None:  # else it was dropped a moment ago
                running.tell(message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """One of the tasks that run for as long as the engine does is over; nobody else would hear of its error."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(f"what its workers tell cannot be read any more ({type(error).__name__}: {error})")

    async def _watch(self) -> None:
        """End everything once vLLM's processes are gone."""
        while not self._llm.errored:
            await asyncio.sleep(PULSE)
        if not self._closing:
            self._fail("vLLM's processes ended")

    def _fail(self, what: str) -> None:
        if self._failure:
            return
        self._failure = what
        log.error("the engine failed: %s; %d requests end with it", what, len(self._running))
        for running in list(self._running.values()):
            running.end(self._lost())

    def _begin(self, running: Running, ids: list[int], params: Any, pictures: Mapping[str, Any] | None) -> None:
        if self._failure or self._closing:
            running.end(self._lost())
            return
        request = running.spec.id
        self._running[request] = running
        task = self._tasks[request] = asyncio.create_task(self._generate(running, ids, params, pictures))
        # Not at the end of the task's own code: of one that is cancelled before its first step nothing is ever run.
        task.add_done_callback(lambda task: self._over(running))

    def _over(self, running: Running) -> None:
        self._tasks.pop(running.spec.id, None)
        running.end()

    async def _generate(
        self, running: Running, ids: list[int], params: Any, pictures: Mapping[str, Any] | None
    ) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        prompt: dict[str, Any] = {**(pictures or {"type": "token"}), "prompt_token_ids": ids}
        if self.salted and (keys := [key for first, key in running.spec.keys if first < len(ids)]):
            prompt["cache_salt"] = keys[-1]
        try:
            async for output in self._llm.generate(prompt, params, running.spec.id):
                if running.spec.scored and output.prompt_logprobs:
                    last = range(len(ids) - len(running.spec.scored), len(ids))
                    running.score([output.prompt_logprobs[position][ids[position]].logprob for position in last])
                said = output.outputs[0]
                chosen = zip(said.token_ids, said.logprobs or [None] * len(said.token_ids), strict=True)
                running.say(
                    [(token, float("nan") if all_of is None else all_of[token].logprob) for token, all_of in chosen],
                    output.num_cached_tokens or 0,
                )
        except EngineDeadError:
            self._fail("vLLM's processes ended")
            running.end(self._lost())
        except Exception as error:  # whatever vLLM raises of a request is that request's own
            running.end(EngineError(f"vLLM failed at a request: {error.__cause__ or error}", code=ErrorCode.INTERNAL))

    def _forget(self, running: Running) -> None:
        self._running.pop(running.spec.id, None)
        self._cancel(running)

    def _cancel(self, running: Running) -> None:
        task = self._tasks.get(running.spec.id)
        if task is not None:
            task.cancel()

    async def _shut(self) -> None:
        for running in list(self._running.values()):
            running.end(self._lost())
        for task in (*self._always, *self._tasks.values()):
            task.cancel()
        if self._llm is not None:
            # It joins processes, which would keep this loop from answering them.
            await asyncio.to_thread(self._llm.shutdown, _STOP_GRACE)
        if self._told is not None:
            self._told.close(linger=0)

    def _lost(self) -> EngineError:
        if self._failure:
            again = "a server loads the model again by itself; in a program of your own, load it anew"
            return EngineError(f"the engine failed: {self._failure}; {again}")
        return EngineError("the engine is being stopped; ask another server")


def _abandon_start() -> None:
    """End the processes that vLLM is starting from this one, so that it gives up."""
    for child in multiprocessing.active_children():
        if child.name.startswith("EngineCore"):
            child.terminate()
