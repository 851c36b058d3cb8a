"""R9: a third of all calls fails on the way, and the client library hides it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.reliability import envoy
from tests.reliability.stage import Absent, Stage
from tests.reliability.target import Finding, Measure, Skip, Target
from tests.scripted import REQUEST
from xmguard.client import Client, Retries
from xmguard.errors import XmguardError

SHARE = 30
CALLS = 2_000
QUESTION = replace(REQUEST, question="tokens=1")


def injected(stage: Stage) -> Iterator[Finding]:
    with stage.stub("--max-queue", "256", concurrency=8) as served:
        try:
            with envoy.proxy(stage, [int(served.address.rpartition(":")[2])], failing=SHARE) as proxied:
                plain = _outcomes(proxied.address, Retries(attempts=1), 400)
                # Proves that the calls are made to fail.
                yield Measure("without retries: calls that fail", 100 * _failed(plain), 20, "%", at_least=True)
                for round_ in range(stage.count(1, 10)):
                    before = proxied.injected()
                    tried = _outcomes(proxied.address, Retries(), CALLS)
                    part = f"round {round_ + 1}: " if not stage.short else ""
                    yield Measure(f"{part}failures injected", proxied.injected() - before, CALLS // 4, at_least=True)
                    failed = Measure(
                        f"{part}of {CALLS:,} calls by the client library, failed", 100 * _failed(tried), 0.5, "%"
                    )
                    yield replace(failed, slack=2)
        except Absent as absent:
            yield Skip("faults by Envoy", str(absent))


def _failed(outcomes: Counter[str]) -> float:
    return 1 - outcomes["OK"] / outcomes.total()


def _outcomes(address: str, retries: Retries, count: int) -> Counter[str]:
    with Client(address, timeout=60, retries=retries) as client, ThreadPoolExecutor(16) as threads:

        def ask(number: int) -> str:
            try:
                client.check(QUESTION) if number % 2 else client.answer(QUESTION)
            except XmguardError as error:
                return error.code.name
            return "OK"

        return Counter(threads.map(ask, range(count)))


TARGETS = (
    Target(
        "R9",
        "Three calls of ten fail on the way",
        injected,
        "to twice its bound: five attempts leave 0.3 to the power of 5, which is 0.24%, and of 2,000 calls sometimes "
        "more than 0.5%",
    ),
)
