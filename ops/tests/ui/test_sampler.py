from common.testing.waiting import eventually
from pillarbox_ops.scraping import Samples, parse_samples
from pillarbox_ops.ui.sampler import KEPT, Sampler, reading
from pillarbox_ops.ui.series import Reading

from .fake_services import FakeServices, running_services


def test_a_reading_has_the_figures_of_both_services() -> None:
    services = FakeServices.__new__(FakeServices)
    services.accepted, services.stored, services.waiting, services.ages = 7, 5, 8, [4, 1, 0, 0, 0]
    samples = parse_samples(services.metrics())
    found = reading(1.0, samples, samples)
    assert (found.accepted, found.stored, found.waiting, found.in_flight) == (7, 5, 8, 2)
    assert found.ages == {0.05: 4, 0.1: 5, 0.25: 5, 0.5: 5, float("inf"): 5}


def test_a_service_that_does_not_answer_has_no_figures() -> None:
    assert reading(1.0, Samples(()), Samples(())) == Reading(1.0)


def test_the_ring_is_bounded() -> None:
    sampler = Sampler("http://a", "", read=lambda _url: Samples(()))
    for _ in range(KEPT + 5):
        sampler.sample()
    assert len(sampler.readings()) == KEPT


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
