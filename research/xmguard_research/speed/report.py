"""What a run has measured, as values and as JSON. Raw samples are kept, so that every ratio can be computed again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PLAIN = "plain"
"""The variant that every ratio is taken against."""


@dataclass(frozen=True)
class Series:
    """The samples of one variant in one cell."""

    experiment: str
    case: Mapping[str, int | str]
    variant: str
    samples: tuple[float, ...]
    """One a round, in `unit`; sample i of every variant of a cell is of the same round."""
    divisor: int = 1
    """What a sample is divided by to be shown: the decoded tokens for a time per token."""
    unit: str = "seconds"
    """`seconds` or `bytes`; `tokens` of what is counted once, whatever the rounds."""
    tokens: int = 0
    """Decoded tokens per sequence; 0 where sequences are not compared."""
    agrees_with: str = ""
    """The variant that must decode the same tokens, or empty."""
    agreement: float | None = None
    """Share of token positions that do."""


@dataclass(frozen=True)
class Report:
    """A run: where it ran, what was asked, what came out."""

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    series: tuple[Series, ...] = ()
    complete: bool = False
    """Whether the run came to its end; what is there is valid either way."""
    notes: tuple[str, ...] = field(default=())
    """What was asked and could not be measured here, and why."""

    def with_series(self, *series: Series) -> Report:
        """The report with more measured."""
        return replace(self, series=(*self.series, *series))

    def write(self, path: Path) -> None:
        """Write as JSON, one series a line; an interrupted write leaves the file of before."""
        head = {name: value for name, value in asdict(self).items() if name != "series"}
        lines = ",\n".join("  " + json.dumps(asdict(series)) for series in self.series)
        text = f'{json.dumps(head, indent=1)[:-2]},\n "series": [\n{lines}\n ]\n}}\n'
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.part")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)


def read(path: Path) -> Report:
    """What `Report.write` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    series = tuple(Series(**(row | {"samples": tuple(row["samples"])})) for row in data.pop("series"))
    return Report(**(data | {"series": series, "notes": tuple(data["notes"])}))


def describe_machine(*, threads: int) -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average_at_start": [round(value, 2) for value in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "numpy": version("numpy"),
        "commit": _commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit() -> str:
    """Commit of this file's clone, with `+changes` when the tree is not clean; `unknown` outside of one."""
    try:
        run = [
            subprocess.run(["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run[0].stdout.strip() + ("+changes" if run[1].stdout.strip() else "")
