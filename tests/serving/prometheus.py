"""The real Prometheus, for tests: started on a free port, asked over HTTP, ended."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"

installed = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus is not installed: apt-get install prometheus",
)


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now; none while it is not listening yet."""
        try:
            return self._get(f"query?query={urllib.parse.quote(expression)}")["result"]
        except OSError:
            return []

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of the last minute."""
        now = time.time()
        query = urllib.parse.urlencode({"query": expression, "start": now - 60, "end": now + 1})
        return self._get(f"query_exemplars?{query}")

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/{path}", timeout=5) as page:
            return json.load(page)["data"]


@contextmanager
def prometheus(config: Path) -> Iterator[Prometheus]:
    """Run it with a configuration, its data beside it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={config.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=error",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield Prometheus(port)
        finally:
            process.terminate()


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """What promtool says; empty if it says nothing and is content."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=120, check=False
    )
    return "" if done.returncode == 0 and text is not None else f"{done.returncode} {done.stdout}{done.stderr}"
