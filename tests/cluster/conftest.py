"""The control plane that all tests of this folder share."""

from collections.abc import Iterator

import pytest

from common.testing.emulator import ROOT
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import control_plane
from tests.cluster.scene import Scene, prepared_scene


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """An empty cluster with the definitions of KEDA and others; its logs are in `.cache/cluster/log`."""
    with control_plane(ROOT / ".cache/cluster") as running:
        yield running


@pytest.fixture(scope="session")
def prepared(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with prepared_scene(cluster, tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.fixture(scope="module")
def scene(prepared: Scene) -> Iterator[Scene]:
    """deploy.sh with its dependencies and a cluster without Pillarbox."""
    yield prepared
    prepared.cluster.remove_pillarbox()
