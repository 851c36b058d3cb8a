"""R11: pictures of every kind and every trick, decoded in a worker that has little memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.reliability.stage import MIB, ROOT, Served, Stage, memory, misses
from tests.reliability.target import Finding, Measure, Skip, Target
from xmguard.client import Client, Retries
from xmguard.errors import ErrorCode, InvalidRequest, XmguardError
from xmguard.request import AnswerRequest
from xmguard.span import Media, Span

PLUGIN = ROOT / "plugins" / "xmguard-image" / "tests"
MORE = 8
"""Good files that the short form sends to a served model, beside all that it must refuse; the soak sends all."""


def pictures(stage: Stage) -> Iterator[Finding]:
    corpus = _corpus()
    cases = {name: case.make() for name, case in corpus.CASES.items()}
    yield Measure("files", len(cases), 40, at_least=True)
    yield from _each_alone(stage, corpus, cases)
    try:
        # Torch alone takes gigabytes of addresses; a decoder that ran away would not fit beside it.
        with stage.real("--worker-memory", "6GiB", model="smolvlm-tiny") as served:
            yield from _served(stage, served, corpus, cases)
    except RuntimeError as error:
        yield Skip("through a served smolvlm-tiny", str(error).strip().splitlines()[-1])


def _corpus() -> Any:
    sys.path.insert(0, str(PLUGIN))
    try:
        import image_corpus
    finally:
        sys.path.remove(str(PLUGIN))
    return image_corpus


def _each_alone(stage: Stage, corpus: Any, cases: dict[str, bytes]) -> Iterator[Finding]:
    """Each file in a process of its own: growth of its peak memory, and its processor time."""
    with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
        for number, (name, data) in enumerate(cases.items()):
            Path(folder, f"{number}.file").write_bytes(data)
            Path(folder, f"{number}.type").write_text(corpus.CASES[name].media_type)
        measuring = [sys.executable, str(PLUGIN / "measure_corpus.py"), folder]
        told = json.loads(subprocess.run(measuring, capture_output=True, text=True, check=True).stdout)
    costs = {name: told[str(number)] for number, name in enumerate(cases)}
    dearest = max(costs, key=lambda name: costs[name]["bytes"])
    slowest = max(costs, key=lambda name: costs[name]["seconds"])
    yield Measure(f"peak memory of one file ({dearest})", costs[dearest]["bytes"] / MIB, 256, "MiB")
    # Processor time, so that what else the machine does counts little; still, caches are shared.
    yield Measure(f"processor time of one file ({slowest})", 1000 * costs[slowest]["seconds"], 500, "ms", slack=2)


def _served(stage: Stage, served: Served, corpus: Any, cases: dict[str, bytes]) -> Iterator[Finding]:
    worker = served.workers()[0]
    with Client(served.address, timeout=60, retries=Retries(attempts=1)) as client:
        ends: Counter[str] = Counter()
        wrong, before = [], memory(worker)
        refused = [name for name, case in corpus.CASES.items() if isinstance(case.expected, corpus.Refused)]
        decoded = [name for name in cases if name not in refused]
        if stage.short:
            decoded = decoded[:: max(1, len(decoded) // MORE)]
        for name in (*refused, *decoded):
            expected = corpus.CASES[name].expected
            field = f"spans[0].{expected.field}" if name in refused else ""
            end = _sent(client, corpus.CASES[name].media_type, cases[name])
            ends[end] += 1
            if end != (field or "OK"):
                wrong.append(f"{name}: {end}")
    yield Measure("sent to a served smolvlm-tiny under RLIMIT_AS", ends.total(), 40, at_least=True)
    yield misses(f"of them, ended otherwise than they must{f' ({wrong[0]})' if wrong else ''}", len(wrong))
    yield Measure("growth of its worker over all of them", (memory(worker) - before) / MIB, 256, "MiB", slack=2)
    yield misses("workers lost by it", int(not worker.is_running()))


def _sent(client: Client, media_type: str, data: bytes) -> str:
    """`OK`, the field that is refused, or the reason."""
    spans = (Span(media=Media(media_type, data)), Span(text="The picture shows a cat.", language="en"))
    try:
        client.check(AnswerRequest(spans=spans, question="What does the picture show?"))
    except InvalidRequest as refused:
        return refused.violations[0].field
    except XmguardError as error:
        return error.reason.value if error.code is not ErrorCode.INVALID_ARGUMENT else str(error)
    return "OK"


TARGETS = (
    Target(
        "R11",
        "Pictures",
        pictures,
        "what becomes of each file and its memory are enforced; its processor time, and what the allocator of a whole "
        "worker keeps, to twice their bounds",
    ),
)
