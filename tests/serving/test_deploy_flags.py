"""What deploy/ passes to `xmguard serve` are flags that it has, ports that it listens on, and tokens that it takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml

from xmguard.cli.app import build_app
from xmguard.client.credentials import read_token
from xmguard_server.config import ServerConfig
from xmguard_server.workers import supervisor

DEPLOY = Path(__file__).parents[2] / "deploy"
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


@pytest.fixture(scope="module")
def flags() -> set[str]:
    serve = typer.main.get_command(build_app()).commands["serve"]  # type: ignore[attr-defined]
    return {name for parameter in serve.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_the_charts_flags_exist(flags: set[str]) -> None:
    text = (DEPLOY / "helm" / "xmguard" / "templates" / "deployment.yaml").read_text()
    passed = {f"--{name}" for name in re.findall(r"^\s+- --([a-z0-9-]+)", text, re.MULTILINE)}
    assert len(passed) > 12
    assert passed - flags == set()


def test_the_flags_in_compose_exist(flags: set[str]) -> None:
    command = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]["xmguard"]["command"]
    assert {argument.partition("=")[0] for argument in command} - flags == set()


def test_the_ports_are_the_servers_own() -> None:
    values = yaml.safe_load((DEPLOY / "helm" / "xmguard" / "values.yaml").read_text())
    config = ServerConfig()
    assert (values["ports"]["grpc"], values["ports"]["admin"]) == (config.port, config.admin_port)
    assert values["shutdown"]["drain"] == config.grace
    stopping = values["shutdown"]["preStop"] + config.grace + supervisor._END_GRACE
    assert values["shutdown"]["gracePeriod"] >= stopping
    for file in (DEPLOY / "docker").glob("*.Dockerfile"):
        assert f"EXPOSE {config.port} 8080 {config.admin_port}\n" in file.read_text()
        assert f"127.0.0.1:{config.admin_port}/readyz" in file.read_text()


def test_only_the_secrets_that_compose_mounts_are_open_to_the_containers(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    shutil.copy(DEPLOY / "compose" / "secrets.sh", script)
    (tmp_path / "secrets").mkdir(mode=0o755)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    subprocess.run(["sh", script], check=True, capture_output=True, timeout=60, env={**os.environ, "PATH": path})
    mounted = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["secrets"].values()
    made = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "secrets").iterdir()}
    assert made == {Path(secret["file"]).name: 0o644 for secret in mounted} | {"agent-token": 0o600}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert read_token(tmp_path / "secrets" / "agent-token")
