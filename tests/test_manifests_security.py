"""The limits of the pods: Pod Security, network policies, resources, scaling."""

import pytest

from tests.deploy.manifests import WORKLOADS, Manifest, base, container_of, namespace_of, one, pod_of, settings_of


@pytest.mark.parametrize("namespace", ["pillarbox", "pillarbox-consumer"])
def test_a_namespace_demands_restricted_pods(namespace: str) -> None:
    labels = one("Namespace", namespace)["metadata"]["labels"]
    for mode in ("enforce", "warn", "audit"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_the_readiness_gate_s_webhook_sees_the_api_and_never_the_consumer() -> None:
    """The webhook fails closed: while the load balancer controller is down, no pod in its scope starts."""
    gate = "elbv2.k8s.aws/pod-readiness-gate-inject"
    labels = {service: one("Namespace", namespace_of(service))["metadata"]["labels"] for service in WORKLOADS}
    assert labels["service1-api"][gate] == "enabled"
    assert gate not in labels["service2-consumer"]
    assert gate not in labels["file-intake"]


@pytest.mark.parametrize("service", WORKLOADS)
def test_a_pod_meets_the_restricted_standard(service: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec, container = pod_of(service)["spec"], container_of(service)
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]
    assert spec["automountServiceAccountToken"] is False


def policies_of(service: str) -> list[Manifest]:
    namespace = namespace_of(service)
    return [m for m in base() if m["kind"] == "NetworkPolicy" and m["metadata"]["namespace"] == namespace]


@pytest.mark.parametrize("service", WORKLOADS)
def test_nothing_passes_that_no_policy_allows(service: str) -> None:
    spec = one("NetworkPolicy", "default-deny", policies_of(service))["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("service", WORKLOADS)
def test_names_are_resolved_at_any_address(service: str) -> None:
    """CoreDNS of EKS Auto Mode and NodeLocal DNSCache do not run as pods in kube-system."""
    (rule,) = one("NetworkPolicy", "dns", policies_of(service))["spec"]["egress"]
    assert rule == {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def allowed_ports(direction: str, service: str) -> set[tuple[str, int]]:
    """Return the ports that the policies open between a service's pods and unspecified addresses."""
    found = set()
    for policy in policies_of(service):
        selected = policy["spec"]["podSelector"].get("matchLabels", {})
        if selected.items() <= pod_of(service)["metadata"]["labels"].items():
            rules = policy["spec"].get(direction, [])
            found |= {(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]}
    return found


@pytest.mark.parametrize("service", WORKLOADS)
def test_a_pod_reaches_dns_aws_and_its_credentials(service: str) -> None:
    assert allowed_ports("egress", service) == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 80)}


def test_only_the_api_is_reached_and_only_on_its_port() -> None:
    assert allowed_ports("ingress", "service1-api") == {("TCP", int(settings_of("service1-api")["PORT"]))}
    assert allowed_ports("ingress", "service2-consumer") == set()
    assert allowed_ports("ingress", "file-intake") == set()


@pytest.mark.parametrize(
    ("service", "requests", "limits"),
    [
        ("service1-api", ("250m", "256Mi", "64Mi"), ("500m", "512Mi", "256Mi")),
        ("service2-consumer", ("100m", "128Mi", "64Mi"), ("200m", "384Mi", "256Mi")),
        ("file-intake", ("100m", "256Mi", "64Mi"), ("500m", "512Mi", "256Mi")),
    ],
)
def test_a_pod_asks_for_what_it_was_given(service: str, requests: tuple[str, ...], limits: tuple[str, ...]) -> None:
    names = ("cpu", "memory", "ephemeral-storage")
    expected = {"requests": dict(zip(names, requests, strict=True)), "limits": dict(zip(names, limits, strict=True))}
    assert container_of(service)["resources"] == expected


@pytest.mark.parametrize("service", WORKLOADS)
def test_an_autoscaler_alone_says_how_many_pods_run(service: str) -> None:
    assert "replicas" not in one("Deployment", service)["spec"]


def test_the_api_scales_from_2_to_10_and_shrinks_slowly() -> None:
    spec = one("HorizontalPodAutoscaler", "service1-api")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    targets = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in spec["metrics"]}
    assert targets == {"cpu": 70, "memory": 80}
    assert spec["behavior"]["scaleDown"]["policies"] == [{"type": "Percent", "value": 50, "periodSeconds": 300}]


@pytest.mark.parametrize("service", ["service2-consumer", "file-intake"])
def test_what_consumes_prefers_spot_nodes_of_every_kind(service: str) -> None:
    """Managed node groups use SPOT; Karpenter and EKS Auto Mode use spot with another key."""
    spec = pod_of(service)["spec"]
    spot = {"eks.amazonaws.com/capacityType": "SPOT", "karpenter.sh/capacity-type": "spot"}
    assert {t["key"]: t.get("value", "") for t in spec["tolerations"]} == spot | {"spot": ""}
    preferred = spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    terms = [expression for term in preferred for expression in term["preference"]["matchExpressions"]]
    assert {term["key"]: term["values"] for term in terms} == {key: [value] for key, value in spot.items()}


@pytest.mark.parametrize("service", WORKLOADS)
def test_a_pod_runs_only_where_its_image_does(service: str) -> None:
    affinity = pod_of(service)["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]


def test_a_rollout_of_ten_api_pods_takes_two_rounds_and_misses_none() -> None:
    spec = one("Deployment", "service1-api")["spec"]
    assert spec["strategy"] == {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}}


@pytest.mark.parametrize("service", WORKLOADS)
def test_a_rollout_without_progress_for_five_minutes_has_failed(service: str) -> None:
    assert one("Deployment", service)["spec"]["progressDeadlineSeconds"] == 300


def test_the_api_trusts_the_load_balancer_s_word_for_the_client_s_address() -> None:
    assert settings_of("service1-api")["TRUSTED_PROXY_HOPS"] == "1"
