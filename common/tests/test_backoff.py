"""The delays of a back-off."""

import pytest

from pillarbox.backoff import Backoff


@pytest.mark.parametrize(("chance", "delays"), [(0.0, [0.5, 1, 2, 2.5, 2.5]), (1.0, [1, 2, 4, 5, 5])])
def test_a_back_off_doubles_to_its_longest_with_half_of_it_left_to_chance(chance: float, delays: list[float]) -> None:
    backoff = Backoff(1, 5, lambda: chance)
    assert [backoff.next_seconds() for _ in range(5)] == delays
    backoff.reset()
    assert backoff.next_seconds() == delays[0]
