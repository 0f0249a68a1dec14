"""Order and chance, for the tests of all packages: the same in every run, unless the command line says otherwise."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

# Time decides nothing: no deadline for an example, and no complaint that generating examples is slow.
_common = settings(deadline=None, print_blob=True, database=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("fixed", _common, derandomize=True)  # the same examples in every run
settings.register_profile("seeded", _common)  # for --hypothesis-seed: `make test-repeat` takes another seed each run
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", action="store_true", help="random order, by the seed of --randomly-seed")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of the files unless --shuffle is given; pytest-randomly would shuffle always."""
    config.option.randomly_reorganize = config.getoption("shuffle")


# The tests of a pipeline that is started once for all of them.
SHARES_THE_PIPELINE = {f"e2e_test/{name}.py" for name in ("test_pipeline", "test_files", "test_send_to_queue")}
# Each test starts all that it needs, and takes long: the workers of `make test-faults` divide them.
SHARES_NOTHING = {
    "ops/tests/test_faults.py",
    *(f"service2-consumer/tests/{name}.py" for name in ("test_faults", "test_faults_alone", "test_faults_files")),
}


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """As `--dist=loadfile`, but files that share the pipeline go to one worker: its start costs seconds of CPU."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file in SHARES_NOTHING:
            return nodeid
        return "e2e_test" if file in SHARES_THE_PIPELINE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Return the scheduler for `--dist=loadfile`; None leaves the others to xdist."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None
