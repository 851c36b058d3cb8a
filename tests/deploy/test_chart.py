"""The Helm chart, rendered by Helm's own library and judged by schemas of Kubernetes and by checkov.."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, HelmError, lint

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "xmguard"
KUBERNETES = "1.34"
EVERYTHING: dict[str, Any] = {
    "engine": "vllm",
    "concurrency": 16,
    "model": {"name": "/opt/models/mounted/mine", "sha256": "0" * 64, "device": "cuda", "dtype": "bfloat16"},
    "gpu": {"enabled": True, "count": 2},
    "tls": {"secret": "certificate", "clientCaSecret": "clients"},
    "ports": {"http": 8080},
    "volume": {"existingClaim": "models"},
    "grpcRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["guard.example.org"]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "extraArgs": ["--experimental"],
    "podAnnotations": {"a/b": "c"},
    "priorityClassName": "high",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "keda": {"autoscaling": {"kind": "keda"}},
    "mtls-only": {"auth": {"tokensSecret": ""}, "tls": {"secret": "certificate", "clientCaSecret": "clients"}},
    "bare": {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
}
FOREIGN = ("GRPCRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor")
"""Kinds that clusters have only where somebody has added them; no schema of theirs is at hand."""


def rendered(values: dict[str, Any], release: str = "guard") -> list[dict[str, Any]]:
    with Chart.load(CHART) as chart:
        files = chart.render(values=deepcopy(values), name=release, namespace="agents")
    documents = [yaml.safe_load_all(text) for name, text in files.items() if not name.endswith(".txt")]
    return [document for file in documents for document in file if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_it_has_no_lint_and_renders_what_kubernetes_takes(values: dict[str, Any]) -> None:
    report = lint(CHART, values, strict=True, namespace="agents", kube_version="v1.34.0")
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    documents = rendered(values)
    for document in documents:
        assert document["metadata"]["namespace"] == "agents"
        if document["kind"] not in FOREIGN:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_schemas_would_notice_a_wrong_field() -> None:
    document = of_kind(rendered({}), "Deployment")
    document["spec"]["replicaz"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 3}, "replicas"),
        ({"engine": "tgi"}, "engine"),
        ({"model": {"sha256": "abc"}}, "sha256"),
        ({"shutdown": {"drain": 90}}, "gracePeriod is shorter"),
        ({"shutdown": {"drain": 80}}, "gracePeriod is shorter"),  # it holds preStop too, but not the end of a worker
        ({"auth": {"tokensSecret": ""}}, "tokensSecret"),
        ({"prometheusRule": {"enabled": True}}, "recording is empty"),
        ({"service": {"type": "LoadBalancer"}}, "service.headless=false"),
        ({"tls": {"clientCaSecret": "clients"}}, "no use without tls.secret"),
    ],
)
def test_values_that_are_wrong_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(HelmError, match=said):
        rendered(values)


def test_what_runs_is_closed_and_stops_in_order() -> None:
    documents = rendered(EVERYTHING)
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    (drain,) = [int(flag.partition("=")[2]) for flag in container["args"] if flag.startswith("--grace=")]
    assert pod["terminationGracePeriodSeconds"] >= waits + drain + 6
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert "--tensor-parallel-size=2" in container["args"]
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert {path for path, read_only in mounts.items() if not read_only} == {"/tmp", "/dev/shm"}
    assert {probe: container[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "readinessProbe")} == {
        "startupProbe": "HTTPS",
        "readinessProbe": "HTTPS",
    }
    policy = of_kind(documents, "NetworkPolicy")["spec"]
    assert policy["egress"] == []
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}


@pytest.mark.parametrize("named", ["callers", "monitoring"])
def test_a_port_that_nobody_is_named_for_is_open_to_nobody(named: str) -> None:
    """Kubernetes takes a rule with an empty list of sources as one for everybody."""
    other = ({"callers", "monitoring"} - {named}).pop()
    for shut in ({other: []}, {other: [], named: []}):
        documents = rendered({"networkPolicy": shut, "ports": {"http": 8080}})
        policy = of_kind(documents, "NetworkPolicy")
        kubernetes_validate.validate(policy, KUBERNETES, strict=True)
        rules = policy["spec"]["ingress"]
        assert all(rule["from"] for rule in rules)
        opened = {port["port"] for rule in rules for port in rule["ports"]}
        assert opened == ({"callers": {"grpc", "http"}, "monitoring": {"admin"}}[named] if named not in shut else set())


def test_gateways_are_told_clear_text_where_it_is() -> None:
    def protocol(values: dict[str, Any]) -> str | None:
        grpc, *_ = of_kind(rendered(values), "Service")["spec"]["ports"]
        return grpc.get("appProtocol")

    assert protocol({}) == "kubernetes.io/h2c"
    assert protocol({"tls": {"secret": "certificate"}}) is None


def test_prometheus_is_told_whose_certificate_it_will_be_shown() -> None:
    tls = {"serverName": "guard.example.org", "ca": {"secret": {"name": "authority", "key": "ca.crt"}}}
    values = {"tls": {"secret": "certificate"}, "serviceMonitor": {"enabled": True, "tlsConfig": tls}}
    (endpoint,) = of_kind(rendered(values), "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", tls)


def test_pods_are_spread_as_the_values_say() -> None:
    def selector(constraint: dict[str, Any]) -> dict[str, Any]:
        deployment = of_kind(rendered({"topologySpreadConstraints": [constraint]}), "Deployment")
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)
        (found,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        return found["labelSelector"]["matchLabels"]

    zones = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    assert selector(zones)["app.kubernetes.io/instance"] == "guard"
    assert selector({**zones, "labelSelector": {"matchLabels": {"team": "a"}}}) == {"team": "a"}


def test_scaling_follows_requests_that_wait() -> None:
    hpa = rendered(VARIANTS["hpa"])
    (metric,) = of_kind(hpa, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "xmguard_requests_waiting"
    assert "replicas" not in of_kind(hpa, "Deployment")["spec"]
    (trigger,) = of_kind(rendered(VARIANTS["keda"]), "ScaledObject")["spec"]["triggers"]
    assert "xmguard_requests_waiting" in trigger["metadata"]["query"]


@pytest.mark.parametrize("release", ["guard", "xmguard", "a" * 42, "b" * 49, "c" * 53])
def test_the_service_has_a_name_that_kubernetes_and_the_alert_on_its_job_take(release: str) -> None:
    name = of_kind(rendered({}, release), "Service")["metadata"]["name"]
    assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)
    groups = yaml.safe_load((CHART.parents[1] / "prometheus" / "alerts.yml").read_text())["groups"]
    (down,) = [rule["expr"] for group in groups for rule in group["rules"] if rule["alert"] == "XmguardDown"]
    (job,) = re.findall('job=~"(.*?)"', down)
    assert re.fullmatch(job, name)


def test_rules_are_taken_from_the_files_they_lie_in() -> None:
    folder = CHART.parents[1] / "prometheus"
    files = {name: (folder / f"{name}.yml").read_text() for name in ("recording", "alerts")}
    rule = of_kind(rendered({"prometheusRule": {"enabled": True, **files}}), "PrometheusRule")
    assert rule["spec"]["groups"] == [group for text in files.values() for group in yaml.safe_load(text)["groups"]]


def test_checkov_finds_nothing_that_is_not_explained(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("---\n".join(yaml.safe_dump(document) for document in rendered(EVERYTHING)))
    docker = CHART.parents[1] / "docker"
    for file in docker.glob("*.Dockerfile"):
        # checkov knows Dockerfiles by their names alone.
        (tmp_path / file.stem).mkdir()
        (tmp_path / file.stem / "Dockerfile").write_text(file.read_text())
    accepted = {
        "CKV_DOCKER_7": "the base's tag is in the argument before it; hadolint reads that",
        "CKV_K8S_15": "tags are versions, and image.digest pins what they mean",
        "CKV_K8S_11": "no CPU limit: throttling would make latency worse, and requests are set",
        "CKV_K8S_43": "a digest is given where the image is built (image.digest)",
    }
    program = Path(sys.executable).with_name("checkov")
    command = [program, "-d", tmp_path, "--framework", "kubernetes", "dockerfile", "--quiet", "--compact", "-o", "json"]
    done = subprocess.run([*command, "--skip-download"], capture_output=True, text=True, timeout=200)
    reports = json.loads(done.stdout)
    failed = {
        check["check_id"]: f"{check['check_name']} ({check['resource']})"
        for report in (reports if isinstance(reports, list) else [reports])
        for check in report["results"]["failed_checks"]
    }
    assert {number: name for number, name in failed.items() if number not in accepted} == {}
    assert set(accepted) - failed.keys() == set()
    assert {report["check_type"] for report in reports} == {"kubernetes", "dockerfile"}
