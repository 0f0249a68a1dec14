"""Concurrent writes that a lane can abandon."""

import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from service2_consumer.metrics import Metrics
from service2_consumer.model import Outcome, Upload
from service2_consumer.object_writer import ObjectWriter
from service2_consumer.ports import RefusedObjectError, StoreError

from .fakes import FakeArchive


class Archive(FakeArchive):
    """An archive whose `put` is a function of the test."""

    def __init__(self, put: Callable[[int], Outcome]) -> None:
        super().__init__()
        self._put = put

    def put(self, upload: Upload) -> Outcome:
        return self._put(int(upload.key))


def uploads(*numbers: int) -> list[Upload]:
    return [Upload(str(number), b"", "", "", "") for number in numbers]


def writer(put: Callable[[int], Outcome], threads: int = 4) -> ObjectWriter:
    return ObjectWriter(Archive(put), Metrics(CollectorRegistry()), threads)


def test_results_have_the_order_of_the_uploads() -> None:
    outcomes = list(Outcome)
    results = writer(lambda n: outcomes[n % 3], 3).write(uploads(*range(20)), threading.Event())
    assert results == [outcomes[n % 3] for n in range(20)]


def test_objects_are_written_concurrently() -> None:
    meeting = threading.Barrier(4, timeout=10)

    def put(_number: int) -> Outcome:
        meeting.wait()
        return Outcome.STORED

    assert writer(put).write(uploads(*range(4)), threading.Event()) == [Outcome.STORED] * 4


@pytest.mark.parametrize("error", [StoreError("timeout"), RefusedObjectError("KeyTooLongError")])
def test_store_error_is_the_result_of_its_object_only(error: Exception) -> None:
    def put(number: int) -> Outcome:
        if number == 1:
            raise error
        return Outcome.STORED

    assert writer(put).write(uploads(0, 1, 2), threading.Event()) == [Outcome.STORED, error, Outcome.STORED]


@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError])
def test_unexpected_error_is_raised_in_the_lane_and_the_threads_continue(error: type[Exception]) -> None:
    def put(number: int) -> Outcome:
        if number == 0:
            raise error
        return Outcome.STORED

    threads = writer(put, 1)
    with pytest.raises(error):
        threads.write(uploads(0), threading.Event())
    assert threads.write(uploads(1), threading.Event()) == [Outcome.STORED]


def test_abandoned_write_has_no_result() -> None:
    abandoned, hang = threading.Event(), threading.Event()
    abandoned.set()

    def put(number: int) -> Outcome:
        if number == 0:
            hang.wait(30)
        return Outcome.STORED

    assert writer(put, 2).write(uploads(1, 0, 2), abandoned) == [Outcome.STORED, None, Outcome.STORED]
    hang.set()


def test_threads_do_not_delay_the_process_exit() -> None:
    hang, writing = threading.Event(), threading.Event()

    def put(_number: int) -> Outcome:
        writing.set()
        hang.wait(30)
        return Outcome.STORED

    threads = writer(put, 1)
    lane = threading.Thread(target=threads.write, args=(uploads(0), threading.Event()))
    lane.start()
    assert writing.wait(10)
    stores = [thread for thread in threading.enumerate() if thread.name.startswith("store-")]
    assert stores
    assert all(thread.daemon for thread in stores)
    hang.set()
    lane.join(10)


def test_duration_of_each_attempt_is_a_metric() -> None:
    metrics, archive = Metrics(CollectorRegistry()), FakeArchive()
    archive.failing_keys.add("1")
    ObjectWriter(archive, metrics, 2).write(uploads(0, 1), threading.Event())
    assert metrics.registry.get_sample_value("pillarbox_consumer_store_seconds_count") == 2
