"""The real Prometheus reads the scrape configuration and scrapes a real server; its guard is scripted."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.scripted import REQUEST, serving
from xmguard.client import Client
from xmguard_server.config import ServerConfig

CONFIG = Path(__file__).parents[2] / "deploy/prometheus/prometheus.yml"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def query(port, expression):
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}"
    with urllib.request.urlopen(url, timeout=5) as page:
        return json.load(page)["data"]["result"]


def test_the_configuration_is_valid_and_names_the_default_port():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    checked = subprocess.run([promtool, "check", "config", CONFIG], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f'"127.0.0.1:{ServerConfig().admin_port}"' in CONFIG.read_text()


def test_prometheus_scrapes_the_server(tmp_path):
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    with serving() as served, Client(served.address) as client:
        client.answer(REQUEST)
        target = urllib.parse.urlsplit(served.metrics_url).netloc
        config = CONFIG.read_text().replace("127.0.0.1:9464", target).replace("15s", "1s")
        file = tmp_path / "prometheus.yml"
        file.write_text(config)
        port = free_port()
        command = [
            prometheus,
            f"--config.file={file}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                deadline = time.monotonic() + 30
                result = []
                while not result and time.monotonic() < deadline:
                    time.sleep(0.3)
                    try:
                        result = query(port, 'xmguard_conflicts_total{decision="conflict"} > 0')
                    except OSError:  # not listening yet
                        continue
            finally:
                process.terminate()
    assert result[0]["metric"]["modality_pair"] == "text-text"
    assert float(result[0]["value"][1]) == 1.0
