"""How hypothesis chooses its examples, for the tests of all packages."""

from hypothesis import HealthCheck, settings

# Time decides nothing: no deadline for an example, and no complaint that generating examples is slow.
_common = settings(deadline=None, print_blob=True, database=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("fixed", _common, derandomize=True)  # the same examples in every run
settings.register_profile("seeded", _common)  # for --hypothesis-seed: `make test-repeat` takes another seed each run
settings.load_profile("fixed")
