"""Dockerfiles and the compose file, read by hadolint, by compose and by the schema of the compose specification.

There is no Docker engine here: no image was built.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, cwd=cwd)


@pytest.mark.parametrize("file", sorted((DEPLOY / "docker").glob("*.Dockerfile")), ids=lambda file: file.name)
def test_hadolint_finds_nothing(file: Path) -> None:
    done = run(BIN / "hadolint", file)
    assert (done.returncode, done.stdout) == (0, "")
    text = file.read_text()
    assert text.count("FROM ") == 2  # what builds stays behind
    assert text.rindex("USER 10001:10001") > text.rindex("FROM ")
    assert "HEALTHCHECK" in text


@pytest.mark.parametrize("file", sorted((DEPLOY / "docker").glob("*.Dockerfile")), ids=lambda file: file.name)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_is_asked_of_the_container_itself_and_not_of_a_proxy(file: Path, status: int, healthy: bool) -> None:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    (_, written) = file.read_text().replace("\\\n", "").split("HEALTHCHECK", 1)
    _, _, program = json.loads(written.splitlines()[0].partition("CMD ")[2])
    environment = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        Thread(target=server.handle_request, daemon=True).start()
        program = program.replace(":9464/", f":{server.server_port}/")
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=30)
    assert (done.returncode == 0) is healthy, done.stderr


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN apt-get install gcc\n")
    assert run(BIN / "hadolint", tmp_path / "Dockerfile").returncode != 0


def test_what_is_copied_into_an_image_is_there() -> None:
    for file in (DEPLOY / "docker").glob("*.Dockerfile"):
        for line in file.read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert (DEPLOY.parent / source).exists(), f"{file.name}: {source}"
                    assert f"!{source}" in Path(f"{file}.dockerignore").read_text().splitlines()


def test_compose_takes_the_file(tmp_path: Path) -> None:
    file = DEPLOY / "compose" / "compose.yaml"
    assert run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file).returncode == 0
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is missing: apt-get install docker-compose")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    (tmp_path / "deploy" / "compose" / "secrets").mkdir(exist_ok=True)
    for name in ("tokens.toml", "prometheus-token"):
        (tmp_path / "deploy" / "compose" / "secrets" / name).touch()
    done = run("docker-compose", "-f", "compose.yaml", "config", cwd=tmp_path / "deploy" / "compose")
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"xmguard", "prometheus", "grafana"}
    for service in services.values():
        for port in service["ports"]:
            published = port if isinstance(port, str) else f"{port.get('host_ip', '')}:"
            assert published.startswith("127.0.0.1:")


def test_the_files_that_compose_mounts_are_there() -> None:
    folder = DEPLOY / "compose"
    for service in yaml.safe_load((folder / "compose.yaml").read_text())["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (folder / source).exists(), source


def test_the_rules_that_prometheus_is_given_are_mounted() -> None:
    asked = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())["rule_files"]
    assert asked
    for rules in asked:
        assert (DEPLOY / "prometheus" / Path(rules).name).is_file()


def test_the_script_that_makes_secrets_is_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing: apt-get install shellcheck")
    done = run("shellcheck", DEPLOY / "compose" / "secrets.sh")
    assert done.stdout == ""


def test_the_script_that_makes_secrets_says_what_went_wrong_and_can_be_run_again(tmp_path: Path) -> None:
    script, program = shutil.copy(DEPLOY / "compose" / "secrets.sh", tmp_path), tmp_path / "bin" / "xmguard"
    program.parent.mkdir()

    def made(text: str) -> subprocess.CompletedProcess[str]:
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        command = ["env", f"PATH={program.parent}:/usr/bin:/bin", "sh", script]
        return run(*command)

    failed = made(
        'case "$*" in *prometheus*) echo "error: a package is missing" >&2; exit 2;; esac; echo made; echo t >&2'
    )
    assert failed.returncode != 0
    assert "error: a package is missing" in failed.stderr
    done = made('echo "entry $*"; echo "token $3" >&2')
    assert (done.returncode, done.stderr) == (0, "agent token: deploy/compose/secrets/agent-token\n")
    secrets = tmp_path / "secrets"
    assert (secrets / "tokens.toml").read_text() == "entry token new agent\nentry token new prometheus --scope admin\n"
    assert [(secrets / f"{name}-token").read_text() for name in ("agent", "prometheus")] == [
        "token agent\n",
        "token prometheus\n",
    ]
    assert (secrets / "agent-token").stat().st_mode & 0o077 == 0
    again = made("echo other")
    assert again.returncode != 0
    assert "is there already" in again.stderr
