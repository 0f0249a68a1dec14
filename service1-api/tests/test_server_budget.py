"""The budget of held bytes: what is taken, what is given back, and the share that small requests always have."""

import pytest

from service1_api.server.budget import SMALL_REQUEST_BYTES, Budget

MAX_BYTES = 1_000_000


@pytest.mark.parametrize(
    ("taken", "held", "count", "has_room"),
    [
        (0, 0, 750_000, True),
        (0, 0, 750_001, False),  # a large request may not use the share of the small ones
        (900_000, 0, SMALL_REQUEST_BYTES, True),
        (MAX_BYTES - SMALL_REQUEST_BYTES + 1, 0, SMALL_REQUEST_BYTES, False),
        (700_000, SMALL_REQUEST_BYTES, 50_001, False),  # the bytes that it holds already make it a large request
        (700_000, 0, 50_001, True),
    ],
)
def test_small_request_may_use_the_whole_budget_and_a_large_one_a_part(
    taken: int, held: int, count: int, has_room: bool
) -> None:
    budget = Budget(MAX_BYTES)
    budget.take(taken)
    assert budget.has_room(held, count) is has_room


def test_returned_bytes_may_be_taken_again() -> None:
    budget = Budget(MAX_BYTES)
    budget.take(MAX_BYTES)
    assert not budget.has_room(0, 1)
    budget.give_back(1)
    assert budget.has_room(0, 1)
