"""The control plane that all tests of this folder share, for as long as they run."""

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import control_plane
from tests.deploy.emulator import ROOT


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """An empty cluster with the definitions of KEDA and the others; `.cache/cluster/log` keeps its logs."""
    with control_plane(ROOT / ".cache/cluster") as running:
        yield running
