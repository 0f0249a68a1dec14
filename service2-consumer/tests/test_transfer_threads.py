"""Concurrent transfers that a lane can abandon."""

import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from pillarbox.tracing import NoTracer
from service2_consumer.metrics import Metrics
from service2_consumer.model import Download, Outcome, Reading, Upload
from service2_consumer.ports import RefusedObjectError, Result, StoreError
from service2_consumer.transfer_threads import TransferThreads

from .fakes import START, FakeArchive


class Archive(FakeArchive):
    """An archive whose `put` is a function of the test."""

    def __init__(self, put: Callable[[int], Outcome]) -> None:
        super().__init__()
        self._put = put

    def put(self, upload: Upload) -> Outcome:
        return self._put(int(upload.key))


def uploads(*numbers: int) -> list[Upload]:
    return [Upload(str(number), b"", "", "", "") for number in numbers]


def writer(put: Callable[[int], Outcome], threads: int = 4) -> TransferThreads:
    return TransferThreads(Archive(put), Metrics(CollectorRegistry()), threads, NoTracer())


def write(threads: TransferThreads, *numbers: int, abandoned: threading.Event | None = None) -> list[Result | None]:
    return threads.run(uploads(*numbers), START, abandoned or threading.Event(), lambda: None)


def test_results_have_the_order_of_the_uploads() -> None:
    outcomes = list(Outcome)
    results = write(writer(lambda n: outcomes[n % 3], 3), *range(20))
    assert results == [outcomes[n % 3] for n in range(20)]


def test_objects_are_written_concurrently() -> None:
    meeting = threading.Barrier(4, timeout=10)

    def put(_number: int) -> Outcome:
        meeting.wait()
        return Outcome.STORED

    assert write(writer(put), *range(4)) == [Outcome.STORED] * 4


@pytest.mark.parametrize("error", [StoreError("timeout"), RefusedObjectError("KeyTooLongError")])
def test_store_error_is_the_result_of_its_object_only(error: Exception) -> None:
    def put(number: int) -> Outcome:
        if number == 1:
            raise error
        return Outcome.STORED

    assert write(writer(put), 0, 1, 2) == [Outcome.STORED, error, Outcome.STORED]


@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError])
def test_unexpected_error_is_raised_in_the_lane_and_the_threads_continue(error: type[Exception]) -> None:
    def put(number: int) -> Outcome:
        if number == 0:
            raise error
        return Outcome.STORED

    threads = writer(put, 1)
    with pytest.raises(error):
        write(threads, 0)
    assert write(threads, 1) == [Outcome.STORED]


def test_abandoned_write_has_no_result() -> None:
    abandoned, hang = threading.Event(), threading.Event()
    abandoned.set()

    def put(number: int) -> Outcome:
        if number == 0:
            hang.wait(30)
        return Outcome.STORED

    assert write(writer(put, 2), 1, 0, 2, abandoned=abandoned) == [Outcome.STORED, None, Outcome.STORED]
    hang.set()


def test_threads_do_not_delay_the_process_exit() -> None:
    hang, writing = threading.Event(), threading.Event()

    def put(_number: int) -> Outcome:
        writing.set()
        hang.wait(30)
        return Outcome.STORED

    threads = writer(put, 1)
    lane = threading.Thread(target=write, args=(threads, 0))
    lane.start()
    assert writing.wait(10)
    stores = [thread for thread in threading.enumerate() if thread.name.startswith("transfer-")]
    assert stores
    assert all(thread.daemon for thread in stores)
    hang.set()
    lane.join(10)


def test_duration_of_each_attempt_is_a_metric() -> None:
    metrics, archive = Metrics(CollectorRegistry()), FakeArchive()
    archive.failing_keys.add("1")
    write(TransferThreads(archive, metrics, 2, NoTracer()), 0, 1)
    assert metrics.registry.get_sample_value("pillarbox_consumer_store_seconds_count") == 2


def test_a_download_is_read_and_timed_apart_from_the_writes() -> None:
    metrics = Metrics(CollectorRegistry())
    download = Download("key", 5, (), lambda now: Reading(skipped=(str(now),)))
    threads = TransferThreads(FakeArchive(), metrics, 1, NoTracer())
    assert threads.run([download], START, threading.Event(), lambda: None) == [Reading(skipped=(str(START),))]
    counts = [
        metrics.registry.get_sample_value(f"pillarbox_consumer_{name}_seconds_count") for name in ("read", "store")
    ]
    assert counts == [1, 0]


def test_a_lane_can_act_while_it_waits() -> None:
    acted = threading.Event()

    def put(_number: int) -> Outcome:
        assert acted.wait(10)
        return Outcome.STORED

    threads = writer(put)
    assert threads.run(uploads(0), START, threading.Event(), acted.set) == [Outcome.STORED]
