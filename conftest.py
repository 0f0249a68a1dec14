"""Order and chance, for the tests of all packages: the same in every run, unless the command line says otherwise."""

import pytest
from hypothesis import HealthCheck, settings

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
