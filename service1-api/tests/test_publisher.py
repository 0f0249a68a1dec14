"""Group commit: which messages share a call, the result of each, and what counts as confirmed."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from common.testing.waiting import eventually
from pillarbox.message import MAX_MESSAGE_BYTES
from pillarbox.tracing import NoTracer, Span, Traced, Untraced
from service1_api.outgoing import Message, MessageRefusedError, OverloadedError, PublishError, QueueUnavailableError
from service1_api.publisher import MIN_BACKLOG, Publisher

from .fakes import FakeQueue, new_metrics


def message(body: str, size_bytes: int = 100) -> Message:
    return Message(body, {}, size_bytes)


class Callers:
    """Threads that publish through one publisher."""

    def __init__(
        self,
        queue: FakeQueue,
        *,
        deadline_seconds: float = 10,
        max_waiting: int = 1000,
        patience_seconds: float = 10,
    ) -> None:
        self.publisher = Publisher(
            queue,
            new_metrics(),
            deadline_seconds=deadline_seconds,
            attempt_seconds=deadline_seconds / 4,
            max_waiting=max_waiting,
            patience_seconds=patience_seconds,
        )
        self._pool = ThreadPoolExecutor(max_workers=128)

    def publish(self, *messages: Message) -> Future[list[PublishError | None]]:
        """Publish from a new thread; return when it has entered the publisher."""
        entered = self.waiting() + len(messages)
        calls = self.publisher._in_flight
        future = self._pool.submit(self.publisher.publish, list(messages))
        eventually(lambda: self.waiting() >= entered or self.publisher._in_flight > calls or future.done())
        return future

    def waiting(self) -> int:
        return len(self.publisher._waiting)


def test_idle_publisher_sends_at_once_on_the_thread_of_the_caller() -> None:
    queue = FakeQueue()
    threads: list[int] = []
    queue.result = lambda _message, _count: threads.append(threading.get_ident())
    assert Callers(queue).publisher.publish([message("a")]) == [None]
    assert (queue.calls, threads) == ([["a"]], [threading.get_ident()])


def test_messages_arriving_during_calls_share_the_next_call_in_order() -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue)
    futures = [callers.publish(message(f"{n:02}")) for n in range(40)]
    queue.answer()
    assert [future.result(10) for future in futures] == [[None]] * 40
    assert sorted(queue.confirmed) == [f"{n:02}" for n in range(40)]
    assert len(queue.calls) <= 4 + 3
    assert max(len(call) for call in queue.calls) == 10
    assert all(call == sorted(call) for call in queue.calls)


def test_publisher_has_at_most_four_calls_in_flight() -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue)
    futures = [callers.publish(message(str(n))) for n in range(100)]
    queue.wait_for_calls(len(MIN_BACKLOG))
    assert queue.most_in_flight == len(MIN_BACKLOG) == 4
    queue.answer()
    assert all(future.result(10) == [None] for future in futures)
    assert queue.most_in_flight == 4


def test_further_calls_start_only_with_a_larger_backlog() -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue)
    futures = [callers.publish(message(str(n))) for n in range(sum(MIN_BACKLOG))]
    assert [len(call) for call in queue.calls] == list(MIN_BACKLOG)
    queue.answer()
    assert all(future.result(10) == [None] for future in futures)


@pytest.mark.parametrize(("each", "together"), [(MAX_MESSAGE_BYTES // 4, 4), (MAX_MESSAGE_BYTES // 4 + 1, 3)])
def test_call_carries_at_most_one_mebibyte(each: int, together: int) -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue)
    first = callers.publish(message("first"))
    rest = callers.publish(*[message(str(n), each) for n in range(8)])
    queue.answer()
    assert first.result(10) == [None]
    assert rest.result(10) == [None] * 8
    assert max(len(call) for call in queue.calls) == together


def test_failed_entry_fails_only_its_own_request() -> None:
    queue = FakeQueue(held=True)
    failure = QueueUnavailableError("InternalError")
    queue.result = lambda message, _count: failure if message.body == "3" else None
    callers = Callers(queue)
    futures = [callers.publish(message(str(n))) for n in range(8)]
    queue.answer()
    assert [future.result(10) for future in futures] == [[failure] if n == 3 else [None] for n in range(8)]


def test_failed_call_fails_exactly_its_entries() -> None:
    queue = FakeQueue(held=True)
    failure = QueueUnavailableError("ReadTimeoutError")
    queue.whole_call = lambda messages: failure if messages[0].body == "0" else None
    callers = Callers(queue)
    futures = [callers.publish(message(str(n))) for n in range(5)]
    queue.answer()
    assert [future.result(10) for future in futures] == [[failure], *[[None]] * 4]


def test_call_refused_because_of_one_entry_is_resent_entry_by_entry() -> None:
    queue = FakeQueue(held=True)
    refusal = MessageRefusedError("InvalidMessageContents")
    queue.whole_call = lambda messages: refusal if any(m.body == "3" for m in messages) else None
    callers = Callers(queue)
    futures = [callers.publish(message(str(n))) for n in range(8)]
    queue.answer()
    assert [future.result(10) for future in futures] == [[refusal] if n == 3 else [None] for n in range(8)]
    assert sorted(queue.confirmed) == [str(n) for n in range(8) if n != 3]


def test_caller_with_many_messages_gets_the_results_in_order() -> None:
    queue = FakeQueue()
    failure = QueueUnavailableError("InternalError")
    queue.result = lambda message, _count: failure if message.body in ("0", "57") else None
    results = Callers(queue).publisher.publish([message(str(n)) for n in range(100)])
    assert [n for n, result in enumerate(results) if result is failure] == [0, 57]
    assert [len(call) for call in queue.calls] == [10] * 10


def test_hanging_call_does_not_delay_the_next_messages() -> None:
    queue, released = FakeQueue(), threading.Event()

    def result(message: Message, _count: int) -> PublishError | None:
        assert message.body != "hangs" or released.wait(10)
        return None

    queue.result = result
    callers = Callers(queue, patience_seconds=0.01)
    hanging = callers.publish(message("hangs"))
    queue.wait_for_calls(1)
    assert callers.publisher.publish([message("next")]) == [None]
    assert not hanging.done()
    released.set()
    assert hanging.result(10) == [None]


def test_message_above_the_waiting_limit_is_refused_at_once() -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue, max_waiting=3)
    flying = callers.publish(message("flying"))
    waiting = callers.publish(message("w"))
    with pytest.raises(OverloadedError):
        callers.publisher.publish([message(str(n)) for n in range(3)])
    queue.answer()
    assert flying.result(10) == waiting.result(10) == [None]


def test_caller_is_answered_at_its_deadline_and_waiting_messages_are_dropped() -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue, deadline_seconds=0.2)
    flying = callers.publish(message("flying"))
    (result,) = callers.publisher.publish([message("late")])
    assert isinstance(result, QueueUnavailableError)
    assert result.cause == "deadline"
    assert callers.waiting() == 0
    queue.answer()
    assert flying.result(10) == [None]
    assert queue.confirmed == ["flying"]


def test_deadline_of_the_caller_takes_the_place_of_the_usual_one() -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue, deadline_seconds=100)
    flying = callers.publish(message("flying"))
    (result,) = callers.publisher.publish([message("late")], time.monotonic() + 0.2)
    assert isinstance(result, QueueUnavailableError)
    assert not flying.done()
    queue.answer()
    assert flying.result(10) == [None]


def test_caller_is_served_after_all_others_timed_out() -> None:
    queue = FakeQueue(held=True)
    callers = Callers(queue, deadline_seconds=0.2)
    futures = [callers.publish(message(str(n))) for n in range(40)]
    eventually(lambda: sum(future.done() for future in futures) >= 36)
    queue.answer()
    eventually(lambda: all(future.done() for future in futures))
    assert callers.publisher.publish([message("next")]) == [None]
    assert callers.waiting() == 0


def test_unexpected_error_of_the_adapter_leaves_no_caller_waiting() -> None:
    queue = FakeQueue(held=True)

    def whole_call(messages: Sequence[Message]) -> PublishError | None:
        if messages[0].body == "1":
            raise ZeroDivisionError
        return None

    queue.whole_call = whole_call
    callers = Callers(queue)
    futures = [callers.publish(message(str(n))) for n in range(1 + MIN_BACKLOG[1])]
    queue.wait_for_calls(2)
    queue.answer()
    eventually(lambda: all(future.done() for future in futures))
    raised = [future for future in futures if future.exception()]
    assert len(raised) == 1
    unconfirmed = [f.result() for f in futures if f not in raised and f.result() != [None]]
    assert all(isinstance(result, QueueUnavailableError) for (result,) in unconfirmed)


def test_contention_sends_each_message_once_and_returns_each_result_to_its_caller() -> None:
    queue = FakeQueue()
    failure = QueueUnavailableError("InternalError")
    queue.result = lambda message, _count: failure if message.body.endswith("7") else None
    publisher = Callers(queue).publisher

    def publish(n: int) -> bool:
        return publisher.publish([message(str(n))]) == [failure if n % 10 == 7 else None]

    with ThreadPoolExecutor(max_workers=32) as pool:
        assert all(pool.map(publish, range(2000)))
    assert sorted(body for call in queue.calls for body in call) == sorted(map(str, range(2000)))


class FailingSpan(Untraced):
    """Breaks the promise to raise nothing."""

    def end(self, *, status: int | None = None) -> None:
        raise RuntimeError("end")


class FailingTracer(NoTracer):
    """Breaks the same promise when a call to the queue begins or ends."""

    fails_at = "begin"

    def send(self, emails: Sequence[Traced]) -> Span:
        if self.fails_at == "begin":
            raise RuntimeError("begin")
        return FailingSpan()


@pytest.mark.parametrize("fails_at", ["begin", "end"])
def test_an_error_of_tracing_keeps_no_place_for_a_call(fails_at: str) -> None:
    tracer = FailingTracer()
    tracer.fails_at = fails_at
    options = {"deadline_seconds": 10, "attempt_seconds": 1, "max_waiting": 10}
    publisher = Publisher(FakeQueue(), new_metrics(), **options, tracer=tracer)  # type: ignore[arg-type]
    for _ in range(2 * len(MIN_BACKLOG)):
        with pytest.raises(RuntimeError, match=fails_at):
            publisher.publish([message("a")])
    assert publisher._in_flight == 0
