"""The load balancer controller's webhook on a real API server: which pods it blocks when it is down."""

from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.cluster import Cluster, eventually
from tests.cluster.scene import NAMESPACES
from tests.deploy.manifests import render

pytestmark = pytest.mark.cluster

# Like in the controller's Helm chart; nothing listens at the address.
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "aws-load-balancer-webhook"},
    "webhooks": [
        {
            "name": "mpod.elbv2.k8s.aws",
            "clientConfig": {"url": "https://127.0.0.1:1/mutate-v1-pod"},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1beta1", "v1"],
            "timeoutSeconds": 1,
            "namespaceSelector": {
                "matchLabels": {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"},
            },
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }
    ],
}


@pytest.fixture
def without_controller(cluster: Cluster) -> Iterator[None]:
    """The webhook is registered, but the controller is down."""
    cluster.kubectl("apply", "--server-side", "--filename=-", typed=yaml.safe_dump(WEBHOOK))
    yield
    cluster.kubectl("delete", "mutatingwebhookconfiguration", "aws-load-balancer-webhook")


@pytest.fixture
def applied(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    manifests = render(tmp_path_factory.mktemp("render"), "prod", ("fixed-replicas",))
    for part in ([m for m in manifests if m["kind"] == "Namespace"], manifests):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", typed=yaml.safe_dump_all(part))
    yield
    cluster.remove_pillarbox()


@pytest.mark.usefixtures("applied", "without_controller")
def test_without_the_load_balancer_controller_consumers_start_and_only_api_pods_wait(cluster: Cluster) -> None:
    def refused() -> bool:
        events = cluster.items("events", NAMESPACES["service1-api"])
        return any("failed calling webhook" in event["message"] for event in events)

    for service, namespace in NAMESPACES.items():
        cluster.kubectl("delete", "pod", f"--namespace={namespace}", f"--selector=app.kubernetes.io/name={service}")
    for consumer in ("service2-consumer", "file-intake"):
        namespace = f"--namespace={NAMESPACES[consumer]}"
        cluster.kubectl("rollout", "status", f"deployment/{consumer}", namespace, "--timeout=60s")
    eventually(refused, "the API server refuses an API pod, because the webhook does not answer")
