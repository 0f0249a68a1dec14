"""The claim check: which e-mails go through S3, and what is published in their place."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import pytest

from pillarbox.ids import new_message_id, time_of
from pillarbox.message import MAX_MESSAGE_BYTES, sqs_size_bytes
from pillarbox.payload import Pointer, pointer_in
from service1_api.outgoing import Message, OverloadedError, PublishError, QueueUnavailableError
from service1_api.payloads import ClaimCheck, PayloadPlace, StoreUnavailableError

from .fakes import FakeClock, FakePublisher, new_metrics

REGION: Final = "eu-central-1"
BUCKET = "payloads"
KEY = "payloads/2026/12/10/a/b.json"
BODY = b'{"n":1}' * 1000


def small(name: str) -> Message:
    return Message(name, {"message_id": new_message_id()}, len(name))


def large(payload: bytes, message_id: str | None = None) -> Message:
    return Message("", {"message_id": message_id or new_message_id()}, MAX_MESSAGE_BYTES + len(payload), payload)


@dataclass
class FakeStore:
    """A bucket in memory; `before` is called before each PUT and may raise."""

    objects: dict[str, bytes] = field(default_factory=dict)
    deadlines: list[float] = field(default_factory=list)
    before: Callable[[bytes], None] = lambda _body: None

    def put(self, key: str, body: bytes, deadline: float) -> bool:
        self.deadlines.append(deadline)
        self.before(body)
        if key in self.objects:
            return False
        self.objects[key] = body
        return True


class Rig:
    """A claim check between fakes, and the order in which they are used."""

    def __init__(self, max_requests: int = 4) -> None:
        self.clock, self.store, self.metrics = FakeClock(), FakeStore(), new_metrics()
        self.publisher = FakePublisher()
        self.calls: list[tuple[list[str], float | None]] = []
        self.overloaded = False
        self.claim_check = ClaimCheck(
            self,
            self.store,
            PayloadPlace(BUCKET, "payloads/"),
            self.metrics,
            deadline_seconds=10,
            send_seconds=4.8,
            max_requests=max_requests,
            clock=self.clock,
        )

    def publish(self, messages: Sequence[Message], deadline: float | None = None) -> list[PublishError | None]:
        self.calls.append(([message.body for message in messages], deadline))
        if self.overloaded:
            raise OverloadedError("too_many_waiting")
        return self.publisher.publish(messages)

    def counted(self, outcome: str) -> float:
        return float(self.metrics.payloads_total.labels(outcome)._value.get())


def fail(_body: bytes) -> None:
    raise StoreUnavailableError("store_timeout")


def test_small_emails_are_passed_on_as_they_are() -> None:
    rig = Rig()
    messages = [small("a"), small("b")]
    assert rig.claim_check.publish(messages) == [None, None]
    assert rig.calls == [(["a", "b"], None)]
    assert all(published is message for published, message in zip(rig.publisher.published, messages, strict=True))
    assert rig.store.deadlines == []


def test_large_email_is_stored_and_a_pointer_to_it_published() -> None:
    rig = Rig()
    message = large(BODY)
    assert rig.claim_check.publish([message]) == [None]
    ((key, stored),) = rig.store.objects.items()
    message_id = message.attributes["message_id"]
    digest = hashlib.sha256(BODY).hexdigest()
    assert (key, stored) == (f"payloads/{time_of(message_id):%Y/%m/%d}/{message_id}/{digest}.json", BODY)
    (published,) = rig.publisher.published
    assert published.numbers == {"ExtendedPayloadSize": str(len(BODY))}
    assert published.attributes == message.attributes
    assert pointer_in(published.body, published.numbers) == Pointer(BUCKET, key, len(BODY))
    assert published.payload is None
    assert published.size_bytes == sqs_size_bytes(published.body, {**message.attributes, **published.numbers})
    assert rig.counted("stored") == 1


def test_repeated_email_writes_nothing_new_and_is_published_again() -> None:
    rig = Rig()
    message = large(BODY)
    assert [rig.claim_check.publish([message]) for _ in range(2)] == [[None], [None]]
    assert len(rig.store.objects) == 1
    first, second = rig.publisher.published
    assert first.body == second.body
    assert (rig.counted("stored"), rig.counted("present")) == (1, 1)


def test_other_content_under_the_same_id_has_its_own_object() -> None:
    rig = Rig()
    message_id = new_message_id()
    rig.claim_check.publish([large(b"one", message_id), large(b"two", message_id)])
    assert sorted(rig.store.objects.values()) == [b"one", b"two"]


def test_failure_of_s3_fails_the_large_emails_only_and_publishes_no_pointer() -> None:
    rig = Rig()
    rig.store.before = fail
    one, two, three = rig.claim_check.publish([large(BODY), small("a"), large(BODY)])
    assert isinstance(one, StoreUnavailableError)
    assert isinstance(three, StoreUnavailableError)
    assert two is None
    assert [calls for calls, _ in rig.calls] == [["a"]]
    assert rig.counted("failed") == 2


def test_each_item_has_its_own_result_in_its_place() -> None:
    rig = Rig()
    rig.store.before = lambda body: fail(body) if body == b"bad" else None
    failure = QueueUnavailableError("InternalError")
    rig.publisher.fail = lambda message: failure if message.body == "c" else None
    batch = [large(b"good"), small("a"), large(b"bad"), small("c"), large(b"good too")]
    results = rig.claim_check.publish(batch)
    assert [type(result) if result else None for result in results] == [
        None, None, StoreUnavailableError, QueueUnavailableError, None
    ]  # fmt: skip


def test_small_emails_are_published_before_the_store_is_asked() -> None:
    rig = Rig()
    seen: list[int] = []
    rig.store.before = lambda _body: seen.append(len(rig.publisher.published))
    rig.claim_check.publish([large(BODY), small("a")])
    assert seen == [1]


def test_store_and_queue_share_the_deadline_of_the_request() -> None:
    rig = Rig()
    rig.store.before = lambda _body: rig.clock.sleep(2)
    rig.claim_check.publish([large(b"a"), small("x"), large(b"b")])
    assert rig.store.deadlines == [pytest.approx(1005.2)] * 2
    assert [deadline for _, deadline in rig.calls] == [1010.0, 1010.0]


def test_requests_that_wait_for_s3_are_limited_and_leave_small_emails_alone() -> None:
    rig = Rig(max_requests=1)
    entered, released = threading.Event(), threading.Event()

    def wait(_body: bytes) -> None:
        entered.set()
        assert released.wait(10)

    rig.store.before = wait
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(rig.claim_check.publish, [large(BODY)])
        assert entered.wait(10)
        refused, accepted = rig.claim_check.publish([large(BODY), small("a")])
        assert isinstance(refused, OverloadedError)
        assert accepted is None
        assert rig.claim_check.publish([small("b")]) == [None]
        released.set()
        assert hanging.result(10) == [None]
    assert rig.claim_check.publish([large(BODY)]) == [None]


def test_place_is_free_again_after_an_unexpected_error() -> None:
    rig = Rig(max_requests=1)
    rig.store.before = lambda _body: 1 // 0  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError):
        rig.claim_check.publish([large(BODY)])
    rig.store.before = lambda _body: None
    assert rig.claim_check.publish([large(BODY)]) == [None]


def test_full_publisher_is_the_result_of_each_item_of_a_mixed_batch() -> None:
    rig = Rig()
    rig.overloaded = True
    assert [type(result) for result in rig.claim_check.publish([small("a"), large(BODY)])] == [OverloadedError] * 2
    with pytest.raises(OverloadedError):
        rig.claim_check.publish([small("a")])
