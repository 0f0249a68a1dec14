"""The steps render and apply of deploy.sh on a real API server: the resulting Deployments and Ingress."""

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import eventually
from tests.cluster.scene import NAMESPACES, Scene
from tests.deploy.manifests import WORKLOADS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

APPLY = ("--only", "apply")
CERTIFICATE = "arn:aws:acm:eu-west-1:000000000000:certificate/0f2d"
HTTPS = ("--certificate-arn", CERTIFICATE, "--hostname", "mail.example.com")
INGRESS = ("ingress", "service1-api", f"--namespace={NAMESPACES['service1-api']}")


@pytest.fixture(autouse=True)
def empty_afterwards(scene: Scene) -> Iterator[None]:
    yield
    scene.cluster.remove_pillarbox()


def test_tags_that_yaml_takes_for_something_else_are_taken_as_they_are(scene: Scene) -> None:
    for tag in ("1e3", "true", "0x1f"):
        done = scene.redeploy(tag, *APPLY)
        assert done.code == 0, done.said
        assert scene.images() == {tag}
    eventually(lambda: all("0x1f" in scene.running(service) for service in WORKLOADS), "all workloads run 0x1f")


def test_https_is_switched_on_and_never_off_by_a_deployment_that_forgets_it(scene: Scene) -> None:
    for options in ((), HTTPS):
        done = scene.redeploy("one", *options, *APPLY)
        assert done.code == 0, done.said
    live = scene.cluster.get(*INGRESS)
    assert live["metadata"]["annotations"]["alb.ingress.kubernetes.io/certificate-arn"] == CERTIFICATE
    assert live["spec"]["rules"][0]["host"] == "mail.example.com"

    plain = scene.redeploy("two")
    assert plain.code == 1
    assert f"the live Ingress has the certificate {CERTIFICATE}" in plain.said
    assert scene.images() == {"one"}
    after = scene.cluster.get(*INGRESS)
    assert (after["spec"], after["metadata"]["annotations"]) == (live["spec"], live["metadata"]["annotations"])
