"""deploy.sh killed in each of its steps, and two at once, on a real API server."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.scene import Scene
from tests.deploy.manifests import WORKLOADS
from tests.deploy.stage import Run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

STEPS = ("infrastructure", "token", "build", "push", "render", "diff", "apply", "wait", "verify")


@pytest.fixture(scope="module")
def killed(scene: Scene) -> Iterator[Scene]:
    """The scene after a first deployment that was killed in each step; its child processes were not killed."""
    with ExitStack() as stack:
        for step in STEPS:
            started = stack.enter_context(scene.deploying("one"))
            started.wait_for_step(step)
            started.kill()
        yield scene


@pytest.fixture(scope="module")
def rerun(killed: Scene) -> Run:
    return killed.deploy("one")


def test_a_rerun_after_kills_in_each_step_completes_the_deployment(killed: Scene, rerun: Run) -> None:
    assert rerun.code == 0, rerun.said
    assert [killed.running(service) for service in WORKLOADS] == [{"one"}] * len(WORKLOADS)


@pytest.mark.usefixtures("rerun")
def test_of_two_deployments_at_once_one_is_refused_and_the_other_is_unharmed(killed: Scene) -> None:
    with killed.deploying("stuck1", **killed.slow_settings()) as slow:
        slow.wait_for_step("wait")
        second = killed.redeploy("two")
        assert second.code == 1
        assert "another deployment is running" in second.said
        assert killed.images() == {"stuck1"}
        slow.process.terminate()
        assert slow.process.wait(300) == 1
    assert [killed.running(service) for service in WORKLOADS] == [{"one"}] * len(WORKLOADS)
