from collections.abc import Sequence

import pytest

from common.testing.waiting import eventually
from pillarbox_ops.ui import series
from pillarbox_ops.ui.series import Reading, Sampler, reading

from .fake_services import FakeServices, running_services


def _readings(values: Sequence[float | None]) -> list[Reading]:
    return [Reading(2.0 * number, stored=value) for number, value in enumerate(values)]


def test_a_reading_has_the_figures_of_both_services() -> None:
    services = FakeServices.__new__(FakeServices)
    services.accepted, services.stored, services.waiting, services.ages = 7, 5, 8, [4, 1, 0, 0, 0]
    found = reading(1.0, services.metrics(), services.metrics())
    assert (found.accepted, found.stored, found.waiting, found.in_flight) == (7, 5, 8, 2)
    assert found.ages == {0.05: 4, 0.1: 5, 0.25: 5, 0.5: 5, float("inf"): 5}


@pytest.mark.parametrize("text", [None, "", "<html>", "pillarbox_api_published_total x"])
def test_what_does_not_answer_or_is_no_metrics_has_no_figures(text: str | None) -> None:
    assert reading(1.0, text, text) == Reading(1.0)


def test_labels_of_a_counter_are_summed() -> None:
    text = 'pillarbox_consumer_stored_total{lane="1"} 2\npillarbox_consumer_stored_total{lane="2"} 3\n'
    assert reading(1.0, None, text).stored == 5


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


def test_the_ring_is_bounded() -> None:
    sampler = Sampler("http://a", "", read=lambda _url: None)
    for _ in range(series.KEPT + 5):
        sampler.sample()
    assert len(sampler.readings()) == series.KEPT


def test_the_thread_reads_what_answers_and_goes_on_without_the_other() -> None:
    with running_services() as services:
        services.accepted = 3
        sampler = Sampler(services.url + "/", "http://127.0.0.1:1")
        sampler.start()
        eventually(sampler.readings, "the first reading")
        sampler.stop()
    assert (sampler.readings()[0].accepted, sampler.readings()[0].stored) == (3, None)


def test_without_addresses_nothing_is_read() -> None:
    sampler = Sampler("", "")
    sampler.start()
    sampler.stop()
    assert sampler.readings() == []
