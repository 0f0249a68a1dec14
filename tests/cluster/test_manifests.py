"""The manifests on a real API server: every overlay with every set of components."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cluster.cluster import Cluster, eventually
from tests.deploy.manifests import Manifest, render
from tests.test_manifests_render import OVERLAYS, SETS

pytestmark = pytest.mark.cluster

APPLY = ("apply", "--server-side", "--force-conflicts", "--validate=strict")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered overlay with some components."""

    path: Path
    manifests: list[Manifest]

    def namespaces(self) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == "Namespace"]

    def namespace_of(self, kind: str, name: str) -> str:
        (found,) = (m["metadata"] for m in self.manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))
        namespace: str = found["namespace"]
        return namespace


@pytest.fixture(scope="module", autouse=True)
def empty(cluster: Cluster) -> Iterator[None]:
    """Delete Pillarbox's namespaces after the tests."""
    yield
    cluster.remove_pillarbox()


@pytest.fixture(params=SETS, ids=lambda components: "+".join(components) or "none")
def components(request: pytest.FixtureRequest) -> tuple[str, ...]:
    chosen: tuple[str, ...] = request.param
    return chosen


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest, components: tuple[str, ...], cluster: Cluster, tmp_path: Path) -> Rendered:
    """An overlay with components. Its namespaces exist already, because a dry run does not create them."""
    manifests = render(tmp_path, request.param, components)
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    result = Rendered(path, manifests)
    cluster.kubectl(*APPLY, "--filename=-", typed=yaml.safe_dump_all(result.namespaces()))
    return result


def versions(text: str) -> dict[tuple[str, str], str]:
    """Return the resourceVersion of each object in kubectl's JSON output."""
    found = json.loads(text)
    objects = found["items"] if found["kind"] == "List" else [found]
    return {(o["kind"], o["metadata"]["name"]): o["metadata"]["resourceVersion"] for o in objects}


def test_it_is_valid_runs_and_a_second_apply_changes_nothing(cluster: Cluster, rendered: Rendered) -> None:
    file = f"--filename={rendered.path}"
    tried = cluster.run(*APPLY, "--dry-run=server", file)
    assert (tried.returncode, tried.stderr) == (0, "")  # not even a warning

    applied = cluster.run(*APPLY, file)
    assert (applied.returncode, applied.stderr) == (0, "")
    deployments = [m["metadata"] for m in rendered.manifests if m["kind"] == "Deployment"]
    for name, namespace in ((found["name"], found["namespace"]) for found in deployments):
        cluster.kubectl("rollout", "status", f"deployment/{name}", f"--namespace={namespace}", "--timeout=90s")
    compared = cluster.run("diff", "--server-side", "--force-conflicts", file)
    assert (compared.returncode, compared.stdout) == (0, "")

    def nothing_changes() -> bool:
        # Kubernetes' controllers also write to the objects, but only until these have reached their state.
        before = versions(cluster.kubectl("get", file, "--output=json"))
        return before == versions(cluster.kubectl(*APPLY, file, "--output=json"))

    eventually(nothing_changes, "an apply without a change of any resourceVersion")
