"""The S3 adapters: payloads and the archive, with moto and with an S3 that fails on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from pillarbox_aws.credentials import CredentialsError
from pillarbox_aws.object_store import open_store
from service1_api.aws import S3Archive, S3Payloads
from service1_api.payloads import StoreUnavailableError
from service1_api.status import ArchiveUnavailableError

from .aws_stub import DROP, AwsStub
from .fakes import FakeClock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore.store import S3Credential, S3Store

REGION: Final = "eu-central-1"
BUCKET = "payloads"
KEY = "payloads/2026/12/10/a/b.json"
BODY = b'{"n":1}' * 1000


# ---- S3, by moto -----------------------------------------------------------------------------------------------------


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


# ---- the archive -----------------------------------------------------------------------------------------------------

ARCHIVED = "messages/2026/12/10/019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10.json"


def archive_at(url: str, bucket: str = BUCKET, attempts: int = 1, read_seconds: int = 10) -> S3Archive:
    config = Config(
        connect_timeout=10, read_timeout=read_seconds, retries={"mode": "standard", "total_max_attempts": attempts}
    )

    def new_client() -> S3Client:
        return boto3.Session().client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            config=config,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    return S3Archive(new_client, bucket)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_object_is_found_with_its_size_and_the_digest_of_its_email(moto: str, s3: Any, suffix: str) -> None:
    key = f"found{suffix}/{ARCHIVED}"
    assert archive_at(moto).find(key) is None
    s3.put_object(Bucket=BUCKET, Key=key + suffix, Body=b"12345", Metadata={"email-sha256": "ab" * 32})
    found = archive_at(moto).find(key)
    assert found
    assert (found.size, found.sha256) == (5, "ab" * 32)
    assert found.stored_at == s3.head_object(Bucket=BUCKET, Key=key + suffix)["LastModified"]


def test_object_without_compression_is_preferred_and_may_lack_a_digest(moto: str, s3: Any) -> None:
    for key, body in (("both.json", b"1"), ("both.json.gz", b"22")):
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    found = archive_at(moto).find("both.json")
    assert found
    assert (found.size, found.sha256) == (1, None)


def test_key_that_only_begins_alike_is_not_the_object(moto: str, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="alike.json-of-another", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="alike.json/below", Body=b"1")
    assert archive_at(moto).find("alike.json") is None


def test_prefix_has_something_below_or_not(moto: str, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="conflicts/2026/12/10/id/digest.json", Body=b"1")
    archive = archive_at(moto)
    assert archive.has_below("conflicts/2026/12/10/id/")
    assert not archive.has_below("conflicts/2026/12/10/i/")


def test_missing_archive_is_unavailable_and_no_missing_object(moto: str) -> None:
    with pytest.raises(ArchiveUnavailableError, match="NoSuchBucket"):
        archive_at(moto, bucket="nobody-has-made-it").find(ARCHIVED)


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        ((403, "AccessDenied"), "AccessDenied"),
        ((503, "SlowDown"), "SlowDown"),
        ((500, "InternalError"), "InternalError"),
        (DROP, "ConnectionClosedError"),
    ],
    ids=str,
)
def test_failure_of_the_archive_is_unavailable(stub: AwsStub, outcome: tuple[int, str] | str, cause: str) -> None:
    stub.s3 = lambda: outcome
    for ask in (archive_at(stub.url).find, archive_at(stub.url).has_below):
        with pytest.raises(ArchiveUnavailableError, match=cause):
            ask(ARCHIVED)


def test_failure_of_the_archive_that_passes_is_not_noticed(stub: AwsStub) -> None:
    script(stub, (503, "SlowDown"), None)
    assert archive_at(stub.url, attempts=2).find(ARCHIVED) is None


def test_archive_that_is_slow_or_out_of_reach_is_unavailable(stub: AwsStub) -> None:
    stub.s3_delay_seconds = 3
    with pytest.raises(ArchiveUnavailableError, match="ReadTimeoutError"):
        archive_at(stub.url, read_seconds=1).find(ARCHIVED)
    with pytest.raises(ArchiveUnavailableError, match="EndpointConnectionError"):
        archive_at("http://127.0.0.1:1").find(ARCHIVED)


def test_archive_is_asked_with_the_rights_of_its_prefixes_alone(stub: AwsStub) -> None:
    stub.objects[f"/{BUCKET}/{ARCHIVED}"] = b"12345"
    archive = archive_at(stub.url)
    assert archive.find(ARCHIVED)
    assert not archive.has_below("conflicts/x/")
    asked = [request.line.split()[:2] for request in stub.requests]
    assert [method for method, _ in asked] == ["GET", "HEAD", "GET"]
    # With it S3 would ask for kms:Decrypt as well.
    assert not [request for request in stub.requests if "x-amz-checksum-mode" in request.headers]
    assert "prefix=messages%2F" in asked[0][1]
    assert "prefix=conflicts%2F" in asked[2][1]


@pytest.mark.parametrize("error", [NoCredentialsError(), OSError("refused")], ids=["none", "refused"])
def test_archive_is_asked_again_once_credentials_are_there(stub: AwsStub, error: Exception) -> None:
    ready: list[S3Archive] = []

    def new_client() -> Any:
        if not ready:
            raise error
        return ready[0]._s3._new_client()

    archive = S3Archive(new_client, BUCKET)
    with pytest.raises(ArchiveUnavailableError, match=type(error).__name__):
        archive.find(ARCHIVED)
    ready.append(archive_at(stub.url))
    assert archive.find(ARCHIVED) is None


def test_first_requests_make_one_client(stub: AwsStub) -> None:
    made: list[object] = []

    def new_client() -> Any:
        made.append(client := archive_at(stub.url)._s3._new_client())
        return client

    archive = S3Archive(new_client, BUCKET)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(archive.find, [ARCHIVED] * 16)) == {None}
    assert len(made) == 1
