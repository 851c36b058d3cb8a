"""What deploy/ passes to `xmguard serve` are flags that it has, and ports that it listens on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
import yaml

from xmguard.cli.app import build_app
from xmguard_server.config import ServerConfig

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
    for file in (DEPLOY / "docker").glob("*.Dockerfile"):
        assert f"EXPOSE {config.port} 8080 {config.admin_port}\n" in file.read_text()
        assert f"127.0.0.1:{config.admin_port}/readyz" in file.read_text()
