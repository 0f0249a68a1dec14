"""deploy.sh end to end with a real API server: the resulting objects in the cluster."""

import pytest

from tests.cluster.scene import NAMESPACES, Scene
from tests.deploy.manifests import IMAGES
from tests.deploy.stage import REGISTRY, Run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def first(scene: Scene) -> Run:
    """The first deployment to an empty cluster."""
    return scene.deploy("one")


def test_a_first_deployment_ends_with_the_release_running(scene: Scene, first: Run) -> None:
    assert first.code == 0, first.said
    assert "PASSED" in first.said  # an e-mail passed through the pipeline
    for service, image in IMAGES.items():
        assert scene.running(service) == {"one"}
        (container,) = scene.deployment(service)["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"{REGISTRY}/pillarbox/{image}:one"


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("workload", ["service2-consumer", "file-intake"])
def test_keda_is_told_to_scale_what_consumes(scene: Scene, workload: str) -> None:
    found = scene.cluster.get("scaledobject", workload, f"--namespace={NAMESPACES[workload]}")
    assert found["spec"]["scaleTargetRef"]["name"] == workload
    assert (found["spec"]["minReplicaCount"], found["spec"]["maxReplicaCount"]) == (0, 20)


def test_it_warns_of_nothing_in_the_manifests(first: Run) -> None:
    assert "Warning:" not in first.said


def test_it_leaves_no_lock(scene: Scene, first: Run) -> None:
    lease = scene.cluster.get("lease", "pillarbox-deploy", "--namespace=pillarbox")
    assert lease is None or not lease["spec"].get("holderIdentity")


def test_a_second_run_changes_no_object(scene: Scene, first: Run) -> None:
    before = scene.versions()
    second = scene.deploy("one")
    assert second.code == 0, second.said
    assert "no difference" in second.said
    assert scene.versions() == before


def test_api_server_out_of_reach_is_an_error_and_no_first_deployment(scene: Scene, first: Run) -> None:
    with scene.unreachable():
        shown = scene.redeploy("two", "--only", "diff")
    assert shown.code == 1
    assert "first deployment" not in shown.said
