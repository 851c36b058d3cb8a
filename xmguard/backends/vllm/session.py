"""One request's context inside vLLM: run once for its prefix cache to hold it, and read by many branches.

Every branch is a request of vLLM's own; those that are in flight together share its batches with each other and with
other sessions'. Knows nothing of verdicts or policies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from xmguard.backends.ending import Ending
from xmguard.backends.vllm.loaded import ANSWER, PROBE, LoadedEngine
from xmguard.backends.vllm.picture_prompts import PreparedPictures, prepare
from xmguard.backends.vllm.running import Running
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.context import EncodedPrompt, SpanMap
from xmguard.contracts import Branch, Token
from xmguard.deadline import Stop
from xmguard.errors import InvalidRequest, Reason, XmguardError
from xmguard.measurement import DirectedContribution, Measurement
from xmguard.request import Decoding, Scope
from xmguard.usage import SessionUsage


@dataclass
class _Decoded:
    """A branch that is being decoded."""

    branch: Branch
    running: Running
    ending: Ending
    done: int = 0
    last: bool = False


class VLLMSession:
    """Satisfies `xmguard.contracts.Session`."""

    def __init__(
        self, loaded: LoadedEngine, prompt: EncodedPrompt, stop: Stop, *, of: VLLMSession | None = None
    ) -> None:
        """Prepare the context's pictures, and run it.

        Args:
            loaded: what runs it.
            prompt: of the context.
            stop: the caller's.
            of: a session of the same context, which has run it and counts it.

        Raises:
            EngineError: the engine failed, or lays a picture elsewhere than its encoder did.
            Cancelled, DeadlineExceeded: `stop` said so.
        """
        self._loaded = loaded
        self._prompt = prompt
        self._stop = stop
        self._pictures: PreparedPictures | None = None
        if of is not None:
            self._pictures = of._pictures
        elif prompt.media:
            self._pictures = prepare(loaded.engine, prompt.context_ids, prompt.media, stop)
        self._branches: dict[str, Branch] = {}
        self._measuring: dict[str, Running] = {}
        self._measurements: dict[str, Measurement] = {}
        self._decoding: dict[str, _Decoded] = {}
        self._open: dict[str, Running] = {}
        self._context_tokens = 0
        self._branch_tokens = 0
        self._cached_tokens = 0
        self._context = self._run_context() if of is None else None

    def prepare(self, branches: Sequence[Branch]) -> None:
        """Begin to measure what will be measured; the tails of others are run with what is decoded or scored."""
        self._know(branches)
        for branch in branches:
            if branch.measured and branch.name not in self._measuring:
                self._measuring[branch.name] = self._submit(branch, self._params(1), measured=True)

    def measure(self, branch: Branch) -> Measurement:
        """Contributions over the branch's tail rows, under its bias.

        Raises:
            ValueError: if the branch is not `measured`.
        """
        if not branch.measured:
            raise ValueError(f"branch {branch.name!r} does not ask to be measured")
        self.prepare([branch])
        if branch.name not in self._measurements:
            running = self._measuring[branch.name]
            self._measurements[branch.name] = running.tail()
            self._close(running)
        return self._measurements[branch.name]

    def decode(self, branches: Sequence[Branch], decoding: Mapping[str, Decoding]) -> Iterator[Token]:
        """Decode together, a token of every branch before the next of any; see `xmguard.contracts.Session`."""
        self._know(branches)
        going = [self._begin(branch, decoding[branch.name]) for branch in branches]
        try:
            while going:
                self._stop.check()
                for one in going:
                    yield self._next(one)
                going = [one for one in going if not one.last]
        finally:  # of an abandoned stream nothing more is run
            for one in going:
                if not one.last:
                    self._end(one)

    def generated(self, branch: Branch) -> Measurement:
        """Contributions over the generated tokens that have been read back so far.

        Inside a stream that goes on these are the workers' newest, which may be ahead of the tokens handed out.
        """
        one = self._decoding.get(branch.name)
        if one is None:
            return Measurement(self._prompt.span_map, (), (), 0, ())
        if one.last:
            one.running.finished()
        else:
            one.running.ask(lambda: self._loaded.engine.call("xmguard_generated", [one.running.spec.id]))
        return one.running.generated()

    def score(self, pairs: Sequence[tuple[Branch, tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Log-probabilities of continuations, in one pass each; see `xmguard.contracts.Session`."""
        self._know([branch for branch, _ in pairs])
        together: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        for number, (branch, ids) in enumerate(pairs):
            # Continuations that differ in their last token alone are read from the same rows.
            alike = ids[:-1] if self._loaded.tells_scores and not _is_forced(branch) else ids
            together.setdefault((branch.name, alike), []).append(number)
        runs = [(self._scoring([pairs[number] for number in numbers]), numbers) for numbers in together.values()]
        scores: dict[int, tuple[float, ...]] = {}
        for running, numbers in runs:
            told, count = running.scores(), len(running.spec.scored)
            for place, number in enumerate(numbers):
                last = told[count:][place : place + 1] if running.spec.choices else told[count:]
                scores[number] = (*told[:count], *last)
            self._close(running, generated=max(0, len(running.spec.forced) - 1))
        return [scores[number] for number in range(len(pairs))]

    def _scoring(self, pairs: Sequence[tuple[Branch, tuple[int, ...]]]) -> Running:
        """Hand in what scores continuations of one branch that are equal, or differ in their last token alone.

        All but the last token are a part of the prompt: the last one is never read.
        """
        branch, ids = pairs[0]
        if self._loaded.tells_scores and not _is_forced(branch):
            choices = tuple(ids[-1] for _, ids in pairs)
            return self._submit(branch, self._params(1), continued=ids[:-1], choices=choices)
        forced = ids if _is_forced(branch) else ids[-1:]
        continued = ids[: len(ids) - len(forced)]
        params = self._params(len(forced), scoring=bool(continued))
        return self._submit(branch, params, told=True, forced=forced, continued=continued)

    def probe(self, branches: Sequence[Branch]) -> list[tuple[float, ...]]:
        """The probe's rows of every branch; see `xmguard.contracts.Session`."""
        if PROBE not in self._loaded.adapters:
            raise ValueError("the model has no probe")
        if len({len(branch.tail) for branch in branches}) > 1:
            raise ValueError("branches of different tails cannot be probed together")
        self._know(branches)
        runs = [self._submit(branch, self._params(1), adapter=PROBE) for branch in branches]
        found = []
        for running in runs:
            found.append(running.probed())
            self._close(running)
        return found

    def directed(self, branch: Branch, answer: Sequence[int]) -> DirectedContribution:
        """Raises NotImplementedError: vLLM's workers do not tell what single heads write toward a token."""
        raise NotImplementedError("the vllm engine does not tell what a span adds to the logits of an answer")

    def unread(self) -> Token:
        """The first token that vLLM itself says after the joint tail, with nothing asked of its workers."""
        ids = (*self._prompt.context_ids, *self._prompt.joint_tail)
        running = self._unread(ids)
        said = running.token(0)
        self._close(running)
        return Token("", said.id, said.logprob, said.entropy, last=True, is_end=said.id in self._loaded.end_ids)

    def recut(self, span_map: SpanMap) -> VLLMSession:
        """A session on the same cached context, cut at other borders; see `xmguard.contracts.Session`."""
        if span_map.context_tokens != self._prompt.span_map.context_tokens:
            raise ValueError(f"a map of {span_map.context_tokens} tokens is not of this context")
        return VLLMSession(self._loaded, replace(self._prompt, span_map=span_map), self._stop, of=self)

    def usage(self) -> SessionUsage:
        """Tokens run so far, by vLLM's own count of what was in its cache."""
        if self._context is not None:
            with suppress(XmguardError):  # of a request that ends early, what is known is counted
                self._context.finished()
                self._context_tokens += len(self._prompt.context_ids) - self._context.cached_tokens
            self._forget(self._context)
            self._context = None
        return SessionUsage(self._context_tokens, self._branch_tokens, self._cached_tokens)

    def close(self) -> None:
        """Abort what still runs, and forget the rest. The cache is vLLM's, which drops what is not used for longest."""
        for running in self._open.values():
            self._loaded.engine.drop(running)
        self._open.clear()

    # -- requests ----------------------------------------------------------------------------------------------------

    def _run_context(self) -> Running | None:
        """Have the whole blocks of the context put into the cache.

        Nobody waits for it: what is handed in after it is run after it or in the same step, in which vLLM finds its
        blocks already, and every layer writes its keys before it reads any.
        """
        ids = self._prompt.context_ids
        if len(ids) < self._loaded.block_tokens:
            return None
        return self._unread(ids)

    def _submit(
        self,
        branch: Branch,
        params: Any,
        *,
        measured: bool = False,
        told: bool = False,
        forced: tuple[int, ...] = (),
        suppressed: tuple[int, ...] = (),
        continued: tuple[int, ...] = (),
        choices: tuple[int, ...] = (),
        adapter: str | None = None,
    ) -> Running:
        self._stop.check()
        ids = (*self._prompt.context_ids, *branch.tail, *continued)
        if (length := len(ids) + params.max_tokens) > self._loaded.context_length:
            raise InvalidRequest.field(
                "spans",
                f"with an answer to be scored after it the prompt takes {length} tokens; the model's context holds "
                f"{self._loaded.context_length}; send less text",
                reason=Reason.PROMPT_TOO_LONG,
            )
        answering = ANSWER if branch.answers and ANSWER in self._loaded.adapters else ""
        spec = ReadingSpec(
            id=uuid4().hex,
            span_map=self._prompt.span_map,
            prompt_tokens=len(ids),
            bias=branch.bias,
            measured=measured,
            told=told,
            forced=forced,
            suppressed=suppressed,
            scored=continued,
            choices=choices,
            adapter=answering if adapter is None else adapter,
            pictures=() if self._pictures is None else self._pictures.places,
        )
        return self._handed_in(ids, params, spec)

    def _unread(self, ids: Sequence[int]) -> Running:
        """One token of a prompt, as plain vLLM says it."""
        spec = ReadingSpec(uuid4().hex, self._prompt.span_map, len(ids))
        params = self._params(1)
        params.logit_bias = dict.fromkeys(self._loaded.suppressed, -math.inf) or None
        return self._handed_in(ids, params, spec, read=False)

    def _handed_in(self, ids: Sequence[int], params: Any, spec: ReadingSpec, *, read: bool = True) -> Running:
        pictures = None if self._pictures is None else self._pictures.rendered
        running = self._loaded.engine.submit(ids, params, spec, self._stop, pictures=pictures, read=read)
        self._open[running.spec.id] = running
        return running

    def _params(self, tokens: int, settings: Decoding | None = None, *, scoring: bool = False) -> Any:
        """VLLM's parameters; the log-probabilities it tells are the model's, not those of what it may say."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        drawn = settings is not None and settings.temperature > 0
        return SamplingParams(
            max_tokens=tokens,
            temperature=settings.temperature if settings is not None and drawn else 0.0,
            seed=settings.seed % 2**63 if settings is not None and drawn and settings.seed is not None else None,
            logprobs=0,
            prompt_logprobs=0 if scoring else None,
            flat_logprobs=scoring,
            # Rows that score a token are never in the cache (`ReadingSpec.keys`), so it may be read.
            skip_reading_prefix_cache=False,
            detokenize=False,
            ignore_eos=True,
            stop_token_ids=sorted(self._loaded.end_ids) if settings is not None else None,
            output_kind=RequestOutputKind.DELTA,
        )

    def _begin(self, branch: Branch, settings: Decoding) -> _Decoded:
        position = len(self._prompt.context_ids) + len(branch.tail)
        budget = min(settings.max_tokens, self._loaded.context_length - position)
        ending = Ending(branch, end_ids=self._loaded.end_ids, budget=budget, text=self._loaded.text)
        params = self._params(ending.budget, settings)
        running = self._submit(branch, params, measured=branch.measured, told=True, suppressed=self._loaded.suppressed)
        one = _Decoded(branch, running, ending)
        self._decoding[branch.name] = one
        return one

    def _next(self, one: _Decoded) -> Token:
        said = one.running.token(one.done)
        one.done += 1
        one.last, is_end = one.ending.at(said.id)
        if one.last:
            self._end(one)
        return Token(one.branch.name, said.id, said.logprob, said.entropy, one.last, is_end)

    def _end(self, one: _Decoded) -> None:
        """A branch that has said its last token: vLLM does not know that the end of a line is one."""
        self._count(one.running, generated=max(0, one.done - 1))
        if one.branch.measured:  # its contributions are told when it has left the batch
            self._loaded.engine.abort(one.running)
        else:
            self._forget(one.running)

    def _know(self, branches: Sequence[Branch]) -> None:
        """Results are kept by name, so a name stands for one branch."""
        for branch in branches:
            if self._branches.setdefault(branch.name, branch) != branch:
                raise ValueError(f"two branches of one session are named {branch.name!r}")

    def _close(self, running: Running, *, generated: int = 0) -> None:
        running.finished()  # what was in the cache is known then
        self._count(running, generated=generated)
        self._forget(running)

    def _forget(self, running: Running) -> None:
        if self._open.pop(running.spec.id, None) is not None:  # else the session was closed before its stream
            self._loaded.engine.drop(running)

    def _count(self, running: Running, *, generated: int) -> None:
        """What a branch has run: the part of the context that was in no block of the cache, its tail, its tokens."""
        context = len(self._prompt.context_ids)
        cached = min(running.cached_tokens, context)
        self._cached_tokens += cached
        self._context_tokens += context - cached
        self._branch_tokens += running.spec.prompt_tokens - max(context, running.cached_tokens) + generated


def _is_forced(branch: Branch) -> bool:
    """Whether a continuation has to be generated: as a part of the prompt it would be read without the bias."""
    return branch.bias.scope is Scope.GENERATED and not branch.bias.is_zero
