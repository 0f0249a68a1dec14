"""The claim check: which e-mails go through S3, what is published in their place, and what failures of S3 mean."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from moto.server import ThreadedMotoServer

from pillarbox.ids import new_message_id, time_of
from pillarbox.message import MAX_MESSAGE_BYTES, sqs_size_bytes
from pillarbox.payload import Pointer, pointer_in
from pillarbox_aws.credentials import CredentialsError
from pillarbox_aws.object_store import open_store
from service1_api.payloads import ClaimCheck, PayloadPlace, S3Payloads, StoreUnavailableError
from service1_api.publisher import Message, OverloadedError, PublishError, QueueUnavailableError

from .aws_stub import DROP, AwsStub
from .fakes import FakeClock, FakePublisher, new_metrics

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store

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


# ---- S3, by moto -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def credentials() -> S3Credential:
    return {"access_key_id": "testing", "secret_access_key": "testing", "token": None, "expires_at": None}


def store_at(
    url: str, provider: Callable[[], S3Credential] = credentials, bucket: str = BUCKET, request_seconds: float = 30
) -> S3Store:
    return open_store(
        provider,
        bucket,
        region=REGION,
        endpoint_url=url,
        request_seconds=request_seconds,
        user_agent="test",
        encryption={},
    )


def payloads_at(url: str, clock: FakeClock | None = None, **options: Any) -> S3Payloads:
    clock = clock or FakeClock()
    return S3Payloads(store_at(url, **options), attempt_seconds=1, clock=clock, sleep=clock.sleep)


@pytest.fixture
def s3(moto: str) -> Any:
    client = boto3.client(
        "s3", endpoint_url=moto, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


def test_payload_is_stored_once_byte_by_byte(moto: str, s3: Any) -> None:
    payloads = payloads_at(moto)
    body = '{"text":"\U0001f4ee\\ud83d\\udcee"}'.encode() * 200_000
    assert payloads.put("payloads/once.json", body, 2000)
    assert not payloads.put("payloads/once.json", body, 2000)
    found = s3.get_object(Bucket=BUCKET, Key="payloads/once.json")
    assert (found["Body"].read(), found["ContentType"]) == (body, "application/json")


def test_missing_bucket_is_unavailable(moto: str, s3: Any) -> None:
    with pytest.raises(StoreUnavailableError, match="store_no_such_bucket"):
        payloads_at(moto, bucket="nobody-has-made-it").put(KEY, BODY, 2000)


# ---- S3 that fails on demand -----------------------------------------------------------------------------------------


@pytest.fixture
def stub() -> Iterator[AwsStub]:
    stub = AwsStub()
    yield stub
    stub.close()


def script(stub: AwsStub, *outcomes: tuple[int, str] | str | None) -> None:
    remaining = list(outcomes)
    stub.s3 = lambda: remaining.pop(0)


@pytest.mark.parametrize(
    "outcome",
    [(503, "SlowDown"), (500, "InternalError"), (409, "ConditionalRequestConflict"), (429, "")],
    ids=str,
)
def test_failure_that_may_pass_is_retried(stub: AwsStub, outcome: tuple[int, str]) -> None:
    script(stub, outcome, outcome, None)
    clock = FakeClock()
    assert payloads_at(stub.url, clock).put(KEY, BODY, clock.now + 10)
    assert stub.objects == {f"/{BUCKET}/{KEY}": BODY}
    assert clock.now < 1001


def test_conflict_is_no_success_before_the_other_write_has_ended(stub: AwsStub) -> None:
    """After 409 the other write may still fail: only 412 says that the object is there."""
    script(stub, (409, "ConditionalRequestConflict"), (412, "PreconditionFailed"))
    assert not payloads_at(stub.url).put(KEY, BODY, 2000)
    script(stub, (409, "ConditionalRequestConflict"))
    clock = FakeClock()
    with pytest.raises(StoreUnavailableError, match="store_contended"):
        payloads_at(stub.url, clock).put(KEY, BODY, clock.now + 1)


def test_lost_reply_is_followed_by_a_write_that_finds_the_object(stub: AwsStub) -> None:
    script(stub, DROP, None)
    assert not payloads_at(stub.url).put(KEY, BODY, 2000)
    assert (stub.calls["PutObject"], len(stub.objects)) == (2, 1)


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        ((403, "AccessDenied"), "store_access_denied"),
        ((404, "NoSuchBucket"), "store_no_such_bucket"),
        ((400, "ExpiredToken"), "store_credentials"),
        ((400, "EntityTooLarge"), "store_other"),
    ],
    ids=str,
)
def test_failure_that_will_not_pass_is_answered_at_once(stub: AwsStub, outcome: tuple[int, str], cause: str) -> None:
    script(stub, outcome)
    with pytest.raises(StoreUnavailableError, match=cause):
        payloads_at(stub.url).put(KEY, BODY, 2000)
    assert stub.calls["PutObject"] == 1


def test_attempt_that_may_exceed_the_deadline_is_not_started(stub: AwsStub) -> None:
    stub.s3 = lambda: (503, "SlowDown")
    clock = FakeClock()
    with pytest.raises(StoreUnavailableError, match="store_throttled"):
        payloads_at(stub.url, clock).put(KEY, BODY, clock.now + 3)
    assert stub.calls["PutObject"] > 1
    assert clock.now <= 1002
    asked = stub.calls["PutObject"]
    with pytest.raises(StoreUnavailableError, match="store_deadline"):
        payloads_at(stub.url, clock).put(KEY, BODY, clock.now + 0.9)
    assert stub.calls["PutObject"] == asked


def test_slow_store_is_given_up_after_the_time_of_an_attempt(stub: AwsStub) -> None:
    stub.s3_delay_seconds = 2
    clock = FakeClock()
    with pytest.raises(StoreUnavailableError, match="store_timeout"):
        payloads_at(stub.url, clock, request_seconds=0.2).put(KEY, BODY, clock.now + 1)


def test_refused_connection_is_unavailable() -> None:
    clock = FakeClock()
    with pytest.raises(StoreUnavailableError, match="store_connection"):
        payloads_at("http://127.0.0.1:1", clock).put(KEY, BODY, clock.now + 1)


def test_missing_credentials_are_unavailable(stub: AwsStub) -> None:
    def provider() -> S3Credential:
        raise CredentialsError("expired")

    with pytest.raises(StoreUnavailableError, match="store_credentials"):
        payloads_at(stub.url, provider=provider).put(KEY, BODY, 2000)
    assert stub.calls["PutObject"] == 0


def test_store_is_asked_to_put_and_nothing_else(stub: AwsStub) -> None:
    payloads = payloads_at(stub.url)
    payloads.put(KEY, BODY, 2000)
    payloads.put(KEY, BODY, 2000)
    assert {request.line for request in stub.requests} == {f"PUT /{BUCKET}/{KEY} HTTP/1.1"}
    assert {request.headers["If-None-Match"] for request in stub.requests} == {"*"}
