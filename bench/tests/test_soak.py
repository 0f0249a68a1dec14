"""Whether a service grows under load, judged by its curve."""

import pytest

from bench.soak import ROWS, Row, has_grown


def curve(rss_mb: list[float], open_files: list[int]) -> list[Row]:
    return [Row(n, n, rss_mb[n], open_files[n], 5) for n in range(ROWS)]


def test_growth_during_the_warm_up_is_allowed() -> None:
    assert not has_grown(curve([30.0, 60.0, 75.0, 80.0] + [80.0] * 16, [10, 20, 30, 40] + [40] * 16))


@pytest.mark.parametrize(("last_mb", "grown"), [(87.9, False), (88.1, True)])
def test_memory_may_grow_by_a_tenth_after_the_warm_up(last_mb: float, grown: bool) -> None:
    assert has_grown(curve([80.0] * 19 + [last_mb], [40] * ROWS)) is grown


@pytest.mark.parametrize(("last_files", "grown"), [(50, False), (51, True)])
def test_open_files_may_grow_by_ten_after_the_warm_up(last_files: int, grown: bool) -> None:
    assert has_grown(curve([80.0] * ROWS, [40] * 19 + [last_files])) is grown
