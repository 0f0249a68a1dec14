"""Order and seeds of the tests of all packages: the same in every run, unless the command line changes them."""

import functools
import gc
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

# Timings decide no test: examples have no deadline, and slow generation is no error.
_common = settings(deadline=None, print_blob=True, database=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("fixed", _common, derandomize=True)  # the same examples in every run
settings.register_profile("seeded", _common)  # for --hypothesis-seed: `make test-repeat` takes another seed each run
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", action="store_true", help="random order, by the seed of --randomly-seed")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of the files unless --shuffle is given; pytest-randomly shuffles by default."""
    config.option.randomly_reorganize = config.getoption("shuffle")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Save CPU in the tests, which do the same without this."""
    gc.disable()
    try:
        return (yield)
    finally:
        _share_service_models()
        gc.enable()
        gc.freeze()  # what was imported and collected stays: a quarter of the CPU went into looking through it again


def pytest_sessionfinish() -> None:
    """Stop the emulators that the tests of this process have handed on."""
    emulator: Any = sys.modules.get("common.testing.emulator")
    if emulator:
        emulator.stop_emulators()


def _share_service_models() -> None:
    """Let all sessions of botocore share one loader; each has its own otherwise, and reads the models of AWS again."""
    session: Any = sys.modules.get("botocore.session")
    if session:
        session.create_loader = functools.cache(session.create_loader)


# These tests share one pipeline.
SHARES_THE_PIPELINE = {
    f"e2e_test/test_{name}.py"
    for name in ("pipeline", "e2e_pipeline", "files", "send_to_queue", "traces", "monitoring")
}
# Each of these tests starts its own processes and is slow, so `make test-faults` distributes single tests.
SHARES_NOTHING = {
    "ops/tests/test_faults.py",
    *(f"service2-consumer/tests/{name}.py" for name in ("test_faults", "test_faults_alone", "test_faults_files")),
}


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """`--dist=loadfile`, but files that share the pipeline go to one worker: its start costs seconds of CPU."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file in SHARES_NOTHING:
            return nodeid
        return "e2e_test" if file in SHARES_THE_PIPELINE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Return the scheduler for `--dist=loadfile`, or None for xdist's own ones."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None
