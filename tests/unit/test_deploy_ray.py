"""The files of `deploy/ray` parse and agree with each other, and `xmguard serve` takes what they hand it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from xmguard.cli.app import build_app
from xmguard_server.config import ServerConfig

RAY = Path(__file__).parents[2] / "deploy/ray"
CLUSTER = yaml.safe_load((RAY / "cluster.yaml").read_text(encoding="utf-8"))
KUBERAY = {
    document["kind"]: document for document in yaml.safe_load_all((RAY / "kuberay.yaml").read_text(encoding="utf-8"))
}
DOCKERFILE = (RAY / "Dockerfile").read_text(encoding="utf-8")
SCRIPT = (RAY / "serve.sh").read_text(encoding="utf-8")


def pods():
    """The pods of the head and of the workers."""
    spec = KUBERAY["RayCluster"]["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def environment(pod):
    return {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}


@pytest.fixture
def started(tmp_path):
    """What the script runs at last, as words; `ray` and `xmguard` are in the place of the real ones."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    for name, text in (("ray", "exit 0"), ("xmguard", 'printf "%s\\n" "$RAY_ADDRESS" "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def run(*arguments, **variables):
        path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        command = ["bash", str(RAY / "serve.sh"), *arguments]
        return subprocess.run(command, env=path | variables, capture_output=True, text=True)

    return run


def test_the_script_starts_a_server_that_takes_its_options(started):
    variables = {name: value for name, value in environment(pods()[0]).items() if value is not None}
    ran = started("--concurrency", "32", **variables)
    assert ran.returncode == 0, ran.stderr
    address, command, *arguments = ran.stdout.splitlines()
    assert (address, command) == ("auto", "serve")
    asked = get_command(build_app()).commands["serve"].make_context("serve", arguments).params
    assert (asked["engine"], asked["device"], asked["experimental"]) == ("vllm", "cuda", True)
    assert asked["engine_option"] == ["distributed_executor_backend=ray"]
    assert asked["model"] == variables["MODEL"]
    assert str(asked["tensor_parallel"]) == variables["TENSOR_PARALLEL_SIZE"]
    assert (asked["host"], asked["admin_host"], asked["concurrency"]) == ("0.0.0.0", "0.0.0.0", 32)
    assert str(asked["tokens"]) == variables["TOKENS"]
    assert (asked["port"], asked["admin_port"]) == (ServerConfig.port, ServerConfig.admin_port)


@pytest.mark.parametrize("missing", ["MODEL", "TENSOR_PARALLEL_SIZE"])
def test_the_script_says_what_it_was_not_told(started, missing):
    ran = started(**{name: "1" for name in ("MODEL", "TENSOR_PARALLEL_SIZE") if name != missing})
    assert ran.returncode != 0
    assert missing in ran.stderr


def test_the_manifests_set_nothing_that_the_script_does_not_read():
    read = set(re.findall(r"\$\{?([A-Z_]+)", SCRIPT)) | {"VLLM_HOST_IP"}
    assert {name for pod in pods() for name in environment(pod)} <= read
    assert "exec serve-on-ray" in pods()[0]["containers"][0]["args"][0]
    assert "deploy/ray/serve.sh /usr/local/bin/serve-on-ray" in DOCKERFILE


def test_gpus_come_to_the_ranks_and_every_pod_sees_the_models():
    spec = KUBERAY["RayCluster"]["spec"]
    counts = [1, *(group["replicas"] for group in spec["workerGroupSpecs"])]
    gpus = [int(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]) for pod in pods()]
    ranks = sum(count * each for count, each in zip(counts, gpus, strict=True))
    assert str(ranks) == environment(pods()[0])["TENSOR_PARALLEL_SIZE"]
    for pod in pods():
        (claim,) = (each["persistentVolumeClaim"] for each in pod["volumes"] if each["name"] == "models")
        assert claim["claimName"] == KUBERAY["PersistentVolumeClaim"]["metadata"]["name"]
        mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        assert environment(pods()[0])["MODEL"].startswith(mounts["models"])


def test_the_head_sees_who_may_come_in():
    head = pods()[0]
    (mounted,) = (each["mountPath"] for each in head["containers"][0]["volumeMounts"] if each["name"] == "tokens")
    assert Path(environment(head)["TOKENS"]).parent == Path(mounted)
    assert [each["secret"]["secretName"] for each in head["volumes"] if each["name"] == "tokens"] == ["xmguard-tokens"]


def test_ports_probes_and_grace_are_the_servers():
    head = pods()[0]
    container = head["containers"][0]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert (ports["grpc"], ports["admin"]) == (ServerConfig.port, ServerConfig.admin_port)
    assert {each["port"] for each in KUBERAY["Service"]["spec"]["ports"]} == {ports["grpc"], ports["admin"]}
    assert container["readinessProbe"]["grpc"] == {"port": ports["grpc"], "service": "xmguard.v1.GuardService"}
    assert head["terminationGracePeriodSeconds"] > ServerConfig.grace
    outside = KUBERAY["NetworkPolicy"]["spec"]["ingress"][1]
    assert {each["port"] for each in outside["ports"]} == {ports["grpc"], ports["admin"]}


def test_versions_and_images_are_the_same_everywhere():
    assert f'"ray[default]=={KUBERAY["RayCluster"]["spec"]["rayVersion"]}"' in DOCKERFILE
    images = {pod["containers"][0]["image"] for pod in pods()} | {CLUSTER["docker"]["image"]}
    assert len(images) == 1


def test_the_launcher_waits_for_every_machine_it_is_told_of():
    workers = len(CLUSTER["provider"]["worker_ips"])
    assert CLUSTER["min_workers"] == CLUSTER["max_workers"] == workers
    assert any("ray start --head" in line for line in CLUSTER["head_start_ray_commands"])
    assert any("$RAY_HEAD_IP" in line for line in CLUSTER["worker_start_ray_commands"])
