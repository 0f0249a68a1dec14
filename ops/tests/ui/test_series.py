from collections.abc import Sequence

import pytest

from pillarbox_ops.ui import series
from pillarbox_ops.ui.series import Reading


def _readings(values: Sequence[float | None]) -> list[Reading]:
    return [Reading(2.0 * number, stored=value) for number, value in enumerate(values)]


def test_a_rate_is_what_a_counter_grew_a_second() -> None:
    rates = series.rate("stored", _readings([0, 4, 8, 8]), lambda r: r.stored)
    assert rates.values == [2, 2, pytest.approx(4 / 3)]
    assert rates.peak == 2


@pytest.mark.parametrize("values", [[5, 3], [None, 3], [5, None]])
def test_a_rate_is_unknown_after_a_new_start_and_beside_a_gap(values: list[float | None]) -> None:
    assert series.rate("stored", _readings(values), lambda r: r.stored).now is None


def test_a_level_is_as_it_was_read() -> None:
    assert series.level("stored", _readings([1, 2, None]), lambda r: r.stored).values == [2, None]
    assert series.level("stored", [], lambda r: r.stored).now is None


def _ages(*counts: float) -> Reading:
    return Reading(0, ages=dict(zip((0.1, 0.2, float("inf")), counts, strict=True)))


@pytest.mark.parametrize(
    ("earlier", "later", "share", "expected"),
    [
        ((0, 0, 0), (10, 10, 10), 0.5, 0.05),
        ((0, 0, 0), (0, 10, 10), 0.5, 0.15),
        ((5, 5, 5), (5, 15, 15), 0.95, 0.195),
        ((0, 0, 0), (0, 0, 10), 0.5, 0.2),
        ((4, 4, 4), (4, 4, 4), 0.5, None),
        ((4, 4, 4), (1, 1, 1), 0.5, None),
    ],
)
def test_a_quantile_is_interpolated_in_what_was_gained(
    earlier: tuple[float, ...], later: tuple[float, ...], share: float, expected: float | None
) -> None:
    found = series.quantile("x", [_ages(*earlier), _ages(*later)], share).now
    assert found == (None if expected is None else pytest.approx(expected))
