"""The HorizontalPodAutoscaler with metrics of metrics-server, and the effect of a deployment on its decision."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, eventually
from tests.cluster.scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def use(cluster: Cluster, cpu: str) -> None:
    """Set the CPU usage of every pod."""
    patch = json.dumps([{"op": "replace", "path": "/spec/usages/0/usage/cpu/value", "value": cpu}])
    cluster.kubectl("patch", "clusterresourceusage", "usage", "--type=json", f"--patch={patch}")


@pytest.fixture
def busy(cluster: Cluster) -> Iterator[None]:
    """The pods use 90 % of their requested CPU; the API scales above 70 %."""
    use(cluster, "225m")
    yield
    use(cluster, "50m")


@pytest.mark.usefixtures("busy")
def test_a_deployment_keeps_the_replicas_that_the_autoscaler_chose(cluster: Cluster, scene: Scene) -> None:
    first = scene.deploy("scaled1", "--component", "fixed-replicas")
    assert first.code == 0, first.said
    eventually(lambda: scene.replicas("service1-api") > 2, "the autoscaler adds pods", 180)
    chosen = scene.replicas("service1-api")

    again = scene.redeploy("scaled2", "--component", "fixed-replicas")
    assert again.code == 0, again.said
    assert scene.images() == {"scaled2"}
    assert scene.replicas("service1-api") >= chosen
