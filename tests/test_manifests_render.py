"""The manifests rendered by kustomize: all overlays and components, for all Kubernetes versions of EKS."""

import json
from itertools import combinations
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.deploy.manifests import K8S, Manifest, one, render

pytestmark = pytest.mark.system

# https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html, extended support included, and the next
VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
OVERLAYS = ("dev", "prod")
ADDED = ("fixed-replicas", "https", "service-monitor", "tracing")
ALONE = "monitoring"  # it adds two objects and changes none, so not every combination is rendered
LAST = "no-file-intake"  # it removes parts of the others, so it comes after them
SETS = [components for size in range(len(ADDED) + 1) for components in combinations(ADDED, size)]
SETS += [(ALONE,), (LAST,), (*ADDED, ALONE, LAST)]
# Of KEDA and of the Prometheus operator.
OWN_KINDS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor", "PrometheusRule"}


def test_every_component_is_in_an_overlay_or_among_those_added_here() -> None:
    in_overlays = {
        Path(component).name
        for overlay in OVERLAYS
        for component in yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["components"]
    }
    assert {path.name for path in (K8S / "components").iterdir()} == in_overlays | {*ADDED, ALONE, LAST}
    assert {path.name for path in (K8S / "overlays").iterdir()} == set(OVERLAYS)


@pytest.mark.parametrize("components", SETS, ids=lambda components: "+".join(components) or "none")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_render_is_valid_for_every_kubernetes_that_eks_offers(
    overlay: str, components: tuple[str, ...], tmp_path: Path
) -> None:
    manifests = render(tmp_path, overlay, components)
    for manifest in manifests:
        if manifest["kind"] not in OWN_KINDS:
            for version in VERSIONS:
                kubernetes_validate.validate(manifest, version, strict=True)
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] in {"pillarbox", "pillarbox-consumer"}
        assert manifest["metadata"]["labels"]["app.kubernetes.io/part-of"] == "pillarbox"
    names = [(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("overlay", "least"), [("dev", 0), ("prod", 1)])
def test_keda_scales_the_consumer_with_the_queue(overlay: str, least: int, tmp_path: Path) -> None:
    manifests = render(tmp_path, overlay, ())
    spec = one("ScaledObject", "service2-consumer", manifests)["spec"]
    assert spec["scaleTargetRef"]["name"] == one("Deployment", "service2-consumer", manifests)["metadata"]["name"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (least, 20)
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (10, 60)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 2}
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["queueURLFromEnv"] in settings(manifests, "service2-consumer")
    authentication = one("TriggerAuthentication", trigger["authenticationRef"]["name"], manifests)
    assert authentication["spec"]["podIdentity"]["provider"] == "aws"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_keda_scales_file_intake_with_its_own_queue_down_to_nobody(overlay: str, tmp_path: Path) -> None:
    manifests = render(tmp_path, overlay, ())
    spec = one("ScaledObject", "file-intake", manifests)["spec"]
    assert spec["scaleTargetRef"]["name"] == one("Deployment", "file-intake", manifests)["metadata"]["name"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 20)
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (10, 60)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 1}
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["queueLength"] == "10"
    assert trigger["metadata"]["queueURLFromEnv"] in settings(manifests, "file-intake")
    authentication = one("TriggerAuthentication", trigger["authenticationRef"]["name"], manifests)
    assert authentication["spec"]["podIdentity"]["provider"] == "aws"


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize(
    "components", [(), ("fixed-replicas",), ("service-monitor",)], ids=lambda components: "+".join(components) or "none"
)
def test_without_file_intake_all_of_it_is_gone_and_nothing_else(
    overlay: str, components: tuple[str, ...], tmp_path: Path
) -> None:
    def found(folder: Path, *more: str) -> set[tuple[str, str]]:
        return {(m["kind"], m["metadata"]["name"]) for m in render(folder, overlay, (*components, *more))}

    before, after = found(tmp_path / "with"), found(tmp_path / "without", "no-file-intake")
    assert after < before
    kinds = {kind for kind, _ in before - after}
    scaling = set() if components == ("fixed-replicas",) else {"ScaledObject", "TriggerAuthentication"}
    monitor = {"PodMonitor"} if components == ("service-monitor",) else set()
    assert kinds == {"ConfigMap", "Deployment", "ServiceAccount"} | scaling | monitor
    assert all(name.startswith("file-intake") for _, name in before - after)


def test_without_keda_two_consumers_and_one_file_intake_run_and_nothing_of_keda_is_left(tmp_path: Path) -> None:
    manifests = render(tmp_path, "prod", ("fixed-replicas",))
    assert one("Deployment", "service2-consumer", manifests)["spec"]["replicas"] == 2
    assert one("Deployment", "file-intake", manifests)["spec"]["replicas"] == 1
    assert not [manifest for manifest in manifests if manifest["apiVersion"].startswith("keda.sh")]


def test_with_a_certificate_plain_http_is_redirected(tmp_path: Path) -> None:
    annotations = one("Ingress", "service1-api", render(tmp_path, "prod", ("https",)))["metadata"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/listen-ports"] == '[{"HTTP": 80}, {"HTTPS": 443}]'
    assert annotations["alb.ingress.kubernetes.io/ssl-redirect"] == "443"


def test_prometheus_may_ask_for_what_it_is_told_to_scrape(tmp_path: Path) -> None:
    manifests = render(tmp_path, "prod", ("service-monitor",))
    (endpoint,) = one("ServiceMonitor", "service1-api", manifests)["spec"]["endpoints"]
    (port,) = one("Service", "service1-api", manifests)["spec"]["ports"]
    (label,) = endpoint["relabelings"]
    assert (label["regex"], label["targetLabel"]) == ("pillarbox-(.+)", "environment")
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    policies = [m for m in manifests if (m["kind"], m["metadata"]["name"]) == ("NetworkPolicy", "metrics")]
    assert {policy["metadata"]["namespace"] for policy in policies} == {"pillarbox", "pillarbox-consumer"}
    for policy in policies:
        assert policy["spec"]["podSelector"] == {}
        assert policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8080}]


def test_rules_and_dashboards_are_found_by_their_kind_and_label_and_leave_room_in_the_release(tmp_path: Path) -> None:
    manifests = render(tmp_path, "prod", ("service-monitor", "monitoring"))
    assert one("PrometheusRule", "pillarbox", manifests)["spec"]["groups"]
    dashboards = one("ConfigMap", "pillarbox-dashboards", manifests)
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {json.loads(text)["uid"] for text in dashboards["data"].values()} == {
        *("pillarbox-overview", "pillarbox-api", "pillarbox-consumer", "pillarbox-files")
    }
    # deploy.sh keeps the manifests in a ConfigMap, and Kubernetes takes 1 MiB of data
    assert len(yaml.safe_dump_all(manifests)) < 400_000


def test_traces_may_leave_both_namespaces_by_the_port_of_otlp(tmp_path: Path) -> None:
    manifests = render(tmp_path, "prod", ("tracing",))
    policies = [m for m in manifests if (m["kind"], m["metadata"]["name"]) == ("NetworkPolicy", "traces")]
    assert {policy["metadata"]["namespace"] for policy in policies} == {"pillarbox", "pillarbox-consumer"}
    for policy in policies:
        assert (policy["spec"]["podSelector"], policy["spec"]["policyTypes"]) == ({}, ["Egress"])
        assert policy["spec"]["egress"] == [{"ports": [{"protocol": "TCP", "port": 4318}]}]


def test_a_changed_setting_rolls_the_pods(tmp_path: Path) -> None:
    before = render(tmp_path / "before", "prod", ())
    changed = tmp_path / "after"
    env = K8S / "base/service1-api.env"
    after = render(changed, "prod", (), {env.relative_to(K8S): env.read_text().replace("INFO", "DEBUG")})

    def settings_name(manifests: list[Manifest]) -> str:
        (container,) = one("Deployment", "service1-api", manifests)["spec"]["template"]["spec"]["containers"]
        name: str = container["envFrom"][0]["configMapRef"]["name"]
        return name

    assert settings_name(before) != settings_name(after)


def settings(manifests: list[Manifest], service: str) -> dict[str, str]:
    (found,) = (
        manifest["data"]
        for manifest in manifests
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].startswith(f"{service}-settings-")
    )
    values: dict[str, str] = found
    return values
