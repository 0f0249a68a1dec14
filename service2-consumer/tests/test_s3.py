"""The S3 adapter against moto, and against a server that answers whatever a test wants."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.credentials import Credentials, RefreshableCredentials

from service2_consumer.layouts import NewObject
from service2_consumer.ports import Archive, CredentialsError, Outcome, RefusedObjectError, StoreError
from service2_consumer.s3 import PROBE_KEY, CredentialProvider, S3Archive, open_archive

from .conftest import BUCKET, REGION, Aws
from .fakes import FakeArchive
from .told_server import Reply, ToldServer, cut, hang, status


def new_object(digest: str = "d1", key: str = "messages/2026/12/10/a.json", conflict: bool = True) -> NewObject:
    return NewObject(
        key,
        f"body of {digest}".encode(),
        "application/json",
        "email-sha256",
        digest,
        f"conflicts/{digest}" if conflict else None,
    )


def archive_at(
    url: str, session: boto3.Session, bucket: str = BUCKET, *, deadline_seconds: float = 180, **encryption: str
) -> S3Archive:
    """Open an archive; a short deadline is only for replies that hang, since a busy machine may hold up the others."""
    return open_archive(
        session, bucket, region=REGION, endpoint_url=url, deadline_seconds=deadline_seconds, encryption=encryption
    )


@pytest.fixture
def archive(aws: Aws) -> S3Archive:
    for item in aws.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        aws.s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    return archive_at(aws.url, aws.session)


@pytest.fixture(params=["s3", "fake"])
def either(request: pytest.FixtureRequest) -> Archive:
    return request.getfixturevalue("archive") if request.param == "s3" else FakeArchive()


def test_an_archive_writes_an_object_once(either: Archive) -> None:
    assert [either.put(new_object()) for _ in range(3)] == [Outcome.STORED, Outcome.DUPLICATE, Outcome.DUPLICATE]


def test_an_archive_keeps_another_content_apart_and_once(either: Archive) -> None:
    either.put(new_object("d1"))
    assert [either.put(new_object("d2")) for _ in range(2)] == [Outcome.CONFLICT, Outcome.CONFLICT]


def test_an_archive_takes_a_taken_key_as_stored_where_no_conflict_can_be(either: Archive) -> None:
    either.put(new_object("d1"))
    assert either.put(new_object("d2", conflict=False)) is Outcome.DUPLICATE


def test_an_object_has_its_content_type_and_digest(aws: Aws, archive: S3Archive) -> None:
    archive.put(new_object())
    found = aws.s3.get_object(Bucket=BUCKET, Key=new_object().key)
    assert (found["ContentType"], found["Metadata"]) == ("application/json", {"email-sha256": "d1"})
    assert found["Body"].read() == b"body of d1"


def test_a_conflict_leaves_the_first_object_alone(aws: Aws, archive: S3Archive) -> None:
    archive.put(new_object("d1"))
    archive.put(new_object("d2"))
    assert aws.s3.get_object(Bucket=BUCKET, Key=new_object().key)["Body"].read() == b"body of d1"
    assert aws.s3.get_object(Bucket=BUCKET, Key="conflicts/d2")["Body"].read() == b"body of d2"


def test_the_probe_writes_one_fixed_key_again_and_again(aws: Aws, archive: S3Archive) -> None:
    archive.probe()
    archive.probe()
    assert [item["Key"] for item in aws.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [PROBE_KEY]


def test_a_missing_bucket_is_an_outage(aws: Aws) -> None:
    archive = archive_at(aws.url, aws.session, bucket="nobody-has-made-it")
    with pytest.raises(StoreError) as caught:
        archive.put(new_object())
    assert caught.value.cause == "no_such_bucket"
    with pytest.raises(StoreError):
        archive.probe()


def test_encryption_is_asked_for_with_each_put(aws: Aws, archive: S3Archive) -> None:
    archive_at(aws.url, aws.session, server_side_encryption="AES256").put(new_object(key="a"))
    key = "arn:aws:kms:eu-central-1:000000000000:key/0"
    archive_at(aws.url, aws.session, server_side_encryption="aws:kms", sse_kms_key_id=key).put(new_object(key="b"))
    archive_at(aws.url, aws.session, server_side_encryption="aws:kms").put(new_object(key="c"))
    assert aws.s3.head_object(Bucket=BUCKET, Key="a")["ServerSideEncryption"] == "AES256"
    found = aws.s3.head_object(Bucket=BUCKET, Key="b")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)
    assert aws.s3.head_object(Bucket=BUCKET, Key="c")["ServerSideEncryption"] == "aws:kms"


# ---- a server that answers as told ----------------------------------------------------------------------------------

SESSION = boto3.Session("key", "secret", region_name=REGION)
HEAD_FOUND = {"Last-Modified": "Thu, 10 Dec 2026 14:30:22 GMT", "x-amz-meta-email-sha256": "d1"}


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (status(500, "InternalError"), "server_error"),
        (status(503, "SlowDown"), "throttled"),
        (status(429), "throttled"),
        (status(400, "ExpiredToken"), "credentials"),
        (status(403, "InvalidAccessKeyId"), "credentials"),
        (status(403, "AccessDenied"), "access_denied"),
        (status(404, "NoSuchBucket"), "no_such_bucket"),
        (status(400, "KMS.DisabledException"), "other"),
        (status(301, "PermanentRedirect"), "other"),
        (hang, "timeout"),
        (cut, "connection"),
    ],
)
def test_whatever_keeps_an_object_from_being_stored_is_an_outage(server: ToldServer, reply: Reply, cause: str) -> None:
    server.replies["PUT"] = [reply]
    archive = archive_at(server.url, SESSION, deadline_seconds=3 if reply is hang else 180)
    with pytest.raises(StoreError) as caught:
        archive.put(new_object())
    assert caught.value.cause == cause
    assert "body of" not in str(caught.value)


def test_an_attempt_ends_within_its_deadline_and_does_not_retry(server: ToldServer) -> None:
    server.replies["PUT"] = [status(412), hang]
    server.replies["HEAD"] = [status(200, headers=HEAD_FOUND)]
    with pytest.raises(StoreError):
        archive_at(server.url, SESSION, deadline_seconds=15).put(new_object("d2"))
    assert [method for method, _, _ in server.asked] == ["PUT", "HEAD", "PUT"]


def test_nobody_listening_is_an_outage() -> None:
    with pytest.raises(StoreError, match="connection"):
        archive_at("http://127.0.0.1:1", SESSION).put(new_object())


def test_a_key_that_s3_will_never_take_is_refused(server: ToldServer) -> None:
    server.replies["PUT"] = [status(400, "KeyTooLongError")]
    with pytest.raises(RefusedObjectError, match="KeyTooLongError"):
        archive_at(server.url, SESSION).put(new_object())


@pytest.mark.parametrize("code", [409, 412])
def test_a_taken_key_is_settled_by_asking_what_lies_there(server: ToldServer, code: int) -> None:
    server.replies["PUT"] = [status(code, "ConditionalRequestConflict")]
    server.replies["HEAD"] = [status(200, headers=HEAD_FOUND)]
    assert archive_at(server.url, SESSION).put(new_object()) is Outcome.DUPLICATE


def test_a_conflict_with_a_put_that_failed_is_tried_again_and_is_no_conflict_of_emails(server: ToldServer) -> None:
    server.replies["PUT"] = [status(409, "ConditionalRequestConflict")]
    server.replies["HEAD"] = [status(404)]
    with pytest.raises(StoreError):
        archive_at(server.url, SESSION).put(new_object())


def test_each_put_forbids_overwriting_and_carries_a_signature(server: ToldServer) -> None:
    server.replies["PUT"] = [status(200)]
    archive_at(server.url, SESSION).put(new_object())
    (method, path, headers) = server.asked[0]
    lower = {name.lower(): value for name, value in headers.items()}
    assert (method, path) == ("PUT", f"/{BUCKET}/messages/2026/12/10/a.json")
    assert lower["if-none-match"] == "*"
    assert "/eu-central-1/s3/" in lower["authorization"]


# ---- credentials ----------------------------------------------------------------------------------------------------


class FakeSession:
    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    def get_credentials(self) -> Credentials | None:
        return self._credentials


def provider(credentials: Credentials | None) -> CredentialProvider:
    return CredentialProvider(FakeSession(credentials))  # type: ignore[arg-type]


def test_refreshable_credentials_carry_their_real_expiry() -> None:
    expiry = datetime.now(UTC) + timedelta(hours=1)
    found = provider(RefreshableCredentials("key", "secret", "token", expiry, dict, "test"))()
    assert found == {"access_key_id": "key", "secret_access_key": "secret", "token": "token", "expires_at": expiry}


def test_static_credentials_never_expire() -> None:
    assert provider(Credentials("key", "secret"))()["expires_at"] is None


@pytest.mark.parametrize("credentials", [None, Credentials("", "")])
def test_missing_credentials_are_an_error(credentials: Credentials | None) -> None:
    with pytest.raises(CredentialsError):
        provider(credentials)()


def test_a_refresh_that_fails_is_an_outage(server: ToldServer) -> None:
    def refresh() -> dict[str, str]:
        raise RuntimeError("the metadata service is down")

    expired = RefreshableCredentials("k", "s", "t", datetime.now(UTC) - timedelta(1), refresh, "test")
    archive = open_archive(
        FakeSession(expired),  # type: ignore[arg-type]
        BUCKET,
        region=REGION,
        endpoint_url=server.url,
        deadline_seconds=3,
        encryption={},
    )
    with pytest.raises(StoreError, match="credentials"):
        archive.put(new_object())
