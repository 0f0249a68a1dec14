"""What the tests of the whole repository share."""

from collections.abc import Iterator

import pytest
from tests.deploy.emulator import stop_emulators


@pytest.fixture(scope="session", autouse=True)
def _emulators_end() -> Iterator[None]:
    yield
    stop_emulators()
