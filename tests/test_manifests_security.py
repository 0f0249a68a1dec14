"""What the manifests let a pod be, reach and use: Pod Security, network policies, resources, scaling."""

import pytest

from tests.deploy.manifests import SERVICES, base, container_of, one, pod_of, settings_of


def test_the_namespace_demands_restricted_pods_and_waits_for_the_load_balancer() -> None:
    labels = one("Namespace", "pillarbox")["metadata"]["labels"]
    for mode in ("enforce", "warn", "audit"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
    assert labels["elbv2.k8s.aws/pod-readiness-gate-inject"] == "enabled"


@pytest.mark.parametrize("service", SERVICES)
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


def test_nothing_passes_that_no_policy_allows() -> None:
    spec = one("NetworkPolicy", "default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def allowed_ports(direction: str, service: str) -> set[tuple[str, int]]:
    """The ports that the policies open for a service's pods to or from addresses that cannot be named."""
    found = set()
    for policy in (manifest for manifest in base() if manifest["kind"] == "NetworkPolicy"):
        selected = policy["spec"]["podSelector"].get("matchLabels", {})
        if selected.items() <= pod_of(service)["metadata"]["labels"].items():
            rules = policy["spec"].get(direction, [])
            found |= {(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]}
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_reaches_dns_aws_and_its_credentials(service: str) -> None:
    assert allowed_ports("egress", service) == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 80)}


def test_only_the_api_is_reached_and_only_on_its_port() -> None:
    assert allowed_ports("ingress", "service1-api") == {("TCP", int(settings_of("service1-api")["PORT"]))}
    assert allowed_ports("ingress", "service2-consumer") == set()


@pytest.mark.parametrize(
    ("service", "requests", "limits"),
    [
        ("service1-api", {"cpu": "250m", "memory": "256Mi"}, {"cpu": "500m", "memory": "512Mi"}),
        ("service2-consumer", {"cpu": "100m", "memory": "128Mi"}, {"cpu": "200m", "memory": "256Mi"}),
    ],
)
def test_a_pod_asks_for_what_it_was_given(service: str, requests: dict[str, str], limits: dict[str, str]) -> None:
    assert container_of(service)["resources"] == {"requests": requests, "limits": limits}


@pytest.mark.parametrize("service", SERVICES)
def test_an_autoscaler_alone_says_how_many_pods_run(service: str) -> None:
    assert "replicas" not in one("Deployment", service)["spec"]


def test_the_api_scales_from_2_to_10_and_shrinks_slowly() -> None:
    spec = one("HorizontalPodAutoscaler", "service1-api")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    targets = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in spec["metrics"]}
    assert targets == {"cpu": 70, "memory": 80}
    assert spec["behavior"]["scaleDown"]["policies"] == [{"type": "Percent", "value": 50, "periodSeconds": 300}]


def test_the_consumer_tolerates_spot_nodes() -> None:
    assert {"eks.amazonaws.com/capacityType", "spot"} == {
        toleration["key"] for toleration in pod_of("service2-consumer")["spec"]["tolerations"]
    }
