"""Failed releases and rollbacks on a real API server: nothing of the failed release remains."""

import pytest

from tests.cluster.scene import NAMESPACES, Scene
from tests.deploy.manifests import WORKLOADS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

FIXED = ("--component", "fixed-replicas")
CONSUMER = NAMESPACES["service2-consumer"]
KEDA = "scaledobjects,triggerauthentications"


@pytest.fixture(scope="module")
def good(scene: Scene) -> Scene:
    """The scene with a verified release of two consumers, which KEDA does not scale."""
    done = scene.deploy("good", *FIXED)
    assert done.code == 0, done.said
    return scene


@pytest.mark.parametrize(
    ("tag", "reason"), [("bad1", "ImagePullBackOff"), ("crash1", "CrashLoopBackOff"), ("stuck1", "Running")]
)
def test_a_release_that_never_gets_ready_is_rolled_back(good: Scene, tag: str, reason: str) -> None:
    failed = good.redeploy(tag, *FIXED)
    assert failed.code == 1
    assert "failed at step wait" in failed.said
    assert reason in failed.said  # the pods are shown before they are deleted
    assert [good.running(service) for service in WORKLOADS] == [{"good"}] * len(WORKLOADS)
    assert good.images() == {"good"}


def test_what_a_failed_release_added_is_removed(good: Scene) -> None:
    failed = good.redeploy("stuck2")  # with KEDA
    assert failed.code == 1
    assert good.cluster.items(KEDA, CONSUMER) == []
    assert good.replicas("service2-consumer") == 2
    assert good.running("service2-consumer") == {"good"}


def test_a_scaled_object_that_keda_does_not_accept_fails_the_release(good: Scene) -> None:
    failed = good.redeploy("denied1")
    assert failed.code == 1
    assert "AccessDenied" in failed.said
    assert good.images() == {"good"}
    assert good.cluster.items(KEDA, CONSUMER) == []


def test_keda_takes_over_and_hands_back(good: Scene) -> None:
    scaled = good.redeploy("keda1")
    assert scaled.code == 0, scaled.said
    assert len(good.cluster.items(KEDA, CONSUMER)) == 4

    failed = good.redeploy("stuck3", *FIXED)
    assert failed.code == 1
    assert len(good.cluster.items(KEDA, CONSUMER)) == 4

    fixed = good.redeploy("good", *FIXED)
    assert fixed.code == 0, fixed.said
    assert good.cluster.items(KEDA, CONSUMER) == []
    assert good.replicas("service2-consumer") == 2
