"""The delays of a back-off."""

import pytest

from pillarbox.backoff import Backoff


@pytest.mark.parametrize(("chance", "delays"), [(0.0, [0.5, 1, 2, 2.5, 2.5]), (1.0, [1, 2, 4, 5, 5])])
def test_backoff_doubles_to_its_longest_with_jitter_of_one_half(chance: float, delays: list[float]) -> None:
    backoff = Backoff(1, 5, lambda: chance)
    assert [backoff.next_seconds() for _ in range(5)] == delays
    backoff.reset()
    assert backoff.next_seconds() == delays[0]
