"""Decodes the files of a folder, each in a process of its own, and prints what each cost as JSON.

    python measure_corpus.py FOLDER

FOLDER holds `NUMBER.file` with the bytes and `NUMBER.type` with the media type. Every process is a fork of one that has
loaded everything and decoded nothing large, so that only the file counts: `bytes` is the growth of its peak resident
memory, `seconds` its processor time, which other processes do not change as they change the time of day.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parent))
import image_corpus
from xmguard_image import ImageModality

from xmguard.context import ContextSpan
from xmguard.errors import InvalidRequest
from xmguard.span import Media, Span

DEAR = 0.4
"""Seconds from which a file is decoded again."""


def decode(media_type: str, data: bytes) -> None:
    with suppress(InvalidRequest):
        ImageModality().parts(ContextSpan(Span("s1", media=Media(media_type, data)), "image", "und"))


def peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(media_type: str, data: bytes) -> dict[str, float]:
    """What one file costs."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        memory, started = peak(), time.process_time()
        decode(media_type, data)
        cost = {"seconds": time.process_time() - started, "bytes": peak() - memory}
        os.write(writer, json.dumps(cost).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        cost = json.loads(told.read() or b"null")
    os.waitpid(child, 0)
    return cost


def main(folder: Path) -> None:
    for name in ("png with a profile", "jpeg with a profile in two parts", "webp with a profile"):
        case = image_corpus.CASES[name]
        decode(case.media_type, case.make())
    costs = {}
    for path in sorted(folder.glob("*.file")):
        data, media_type = path.read_bytes(), path.with_suffix(".type").read_text()
        runs = [measured(media_type, data)]
        # The least of several: what else the machine does makes a run dearer, never cheaper.
        while min(run["seconds"] for run in runs) > DEAR and len(runs) < 5:
            runs.append(measured(media_type, data))
        costs[path.stem] = {key: min(run[key] for run in runs) for key in runs[0]}
    print(json.dumps(costs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
