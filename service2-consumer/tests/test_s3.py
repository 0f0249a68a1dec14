"""The S3 adapter against moto and against a server with scripted answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING

import boto3
import pytest

from pillarbox.message import email_sha256
from pillarbox_aws.credentials import CredentialsError, SessionCredentials
from pillarbox_aws.object_store import open_store
from service2_consumer.model import Outcome, Upload
from service2_consumer.ports import Archive, OverwritesError, RefusedObjectError, StoreError
from service2_consumer.s3 import MAX_REQUESTS_PER_PUT, PROBE_KEY, S3Archive

from .conftest import BUCKET, REGION, Aws
from .fakes import FakeArchive
from .scripted_server import Reply, ScriptedServer, answer, cut, garbage, hang, status

if TYPE_CHECKING:
    from obstore.store import S3Credential


def new_upload(digest: str = "d1", key: str = "messages/2026/12/10/a.json", conflict: bool = True) -> Upload:
    return Upload(
        key,
        f"body of {digest}".encode(),
        "application/json",
        "email-sha256",
        digest,
        f"conflicts/{digest}" if conflict else None,
    )


def archive_at(
    url: str,
    session: boto3.Session,
    bucket: str = BUCKET,
    *,
    allow_overwrite: bool = False,
    deadline_seconds: float = 180,
    **encryption: str,
) -> S3Archive:
    """Return an archive; a short deadline is only for hanging replies, since a busy machine may delay the others."""
    credentials = SessionCredentials(session.get_credentials)
    credentials.start()
    return opened(credentials.for_obstore, url, deadline_seconds, bucket, encryption, allow_overwrite=allow_overwrite)


def opened(
    credentials: Callable[[], S3Credential],
    url: str,
    deadline_seconds: float,
    bucket: str = BUCKET,
    encryption: Mapping[str, str] = MappingProxyType({}),
    *,
    allow_overwrite: bool = False,
) -> S3Archive:
    store = open_store(
        credentials,
        bucket,
        region=REGION,
        endpoint_url=url,
        request_seconds=deadline_seconds / MAX_REQUESTS_PER_PUT,
        user_agent="test",
        encryption=encryption,
    )
    return S3Archive(store, allow_overwrite=allow_overwrite)


@pytest.fixture
def archive(aws: Aws) -> S3Archive:
    for item in aws.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        aws.s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    return archive_at(aws.url, aws.session)


@pytest.fixture(params=["s3", "fake"])
def either(request: pytest.FixtureRequest) -> Archive:
    return request.getfixturevalue("archive") if request.param == "s3" else FakeArchive()


def test_archive_writes_an_object_once(either: Archive) -> None:
    assert [either.put(new_upload()) for _ in range(3)] == [Outcome.STORED, Outcome.DUPLICATE, Outcome.DUPLICATE]


def test_archive_stores_other_content_once_as_a_conflict(either: Archive) -> None:
    either.put(new_upload("d1"))
    assert [either.put(new_upload("d2")) for _ in range(2)] == [Outcome.CONFLICT, Outcome.CONFLICT]


def test_existing_key_without_conflict_key_is_a_duplicate(either: Archive) -> None:
    either.put(new_upload("d1"))
    assert either.put(new_upload("d2", conflict=False)) is Outcome.DUPLICATE


def test_object_has_its_content_type_and_digest(aws: Aws, archive: S3Archive) -> None:
    archive.put(new_upload())
    found = aws.s3.get_object(Bucket=BUCKET, Key=new_upload().key)
    assert (found["ContentType"], found["Metadata"]) == ("application/json", {"email-sha256": "d1"})
    assert found["Body"].read() == b"body of d1"


def test_conflict_does_not_change_the_first_object(aws: Aws, archive: S3Archive) -> None:
    archive.put(new_upload("d1"))
    archive.put(new_upload("d2"))
    assert aws.s3.get_object(Bucket=BUCKET, Key=new_upload().key)["Body"].read() == b"body of d1"
    assert aws.s3.get_object(Bucket=BUCKET, Key="conflicts/d2")["Body"].read() == b"body of d2"


def test_probe_overwrites_one_fixed_key(aws: Aws, archive: S3Archive) -> None:
    archive.probe()
    archive.probe()
    assert [item["Key"] for item in aws.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [PROBE_KEY]


def test_check_passes_repeatedly_and_concurrently_with_write_once(aws: Aws, archive: S3Archive) -> None:
    def check() -> bool:
        replica = archive_at(aws.url, aws.session)
        for _ in range(20):
            try:
                replica.check()
            except StoreError as exc:
                assert exc.cause == "server_error", exc  # noqa: PT017  # moto answers some concurrent requests with 500
            else:
                return True
        return False

    archive.check()
    with ThreadPoolExecutor(10) as replicas:
        checks = [replicas.submit(check) for _ in range(10)]
    assert [check.result() for check in checks] == [True] * 10
    assert [item["Key"] for item in aws.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [PROBE_KEY]


def test_missing_bucket_is_an_outage(aws: Aws) -> None:
    archive = archive_at(aws.url, aws.session, bucket="nobody-has-made-it")
    with pytest.raises(StoreError) as caught:
        archive.put(new_upload())
    assert caught.value.cause == "no_such_bucket"
    with pytest.raises(StoreError):
        archive.check()


def test_each_put_requests_encryption(aws: Aws, archive: S3Archive) -> None:
    archive_at(aws.url, aws.session, server_side_encryption="AES256").put(new_upload(key="a"))
    key = "arn:aws:kms:eu-central-1:000000000000:key/0"
    archive_at(aws.url, aws.session, server_side_encryption="aws:kms", sse_kms_key_id=key).put(new_upload(key="b"))
    archive_at(aws.url, aws.session, server_side_encryption="aws:kms").put(new_upload(key="c"))
    assert aws.s3.head_object(Bucket=BUCKET, Key="a")["ServerSideEncryption"] == "AES256"
    found = aws.s3.head_object(Bucket=BUCKET, Key="b")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)
    assert aws.s3.head_object(Bucket=BUCKET, Key="c")["ServerSideEncryption"] == "aws:kms"


# ---- a server with scripted answers ----------------------------------------------------------------------------------

SESSION = boto3.Session("key", "secret", region_name=REGION)
FOUND = {"Last-Modified": "Thu, 10 Dec 2026 14:30:22 GMT", "x-amz-meta-email-sha256": "d1"}


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
def test_store_failure_is_an_outage(server: ScriptedServer, reply: Reply, cause: str) -> None:
    server.replies["PUT"] = [reply]
    archive = archive_at(server.url, SESSION, deadline_seconds=3 if reply is hang else 180)
    with pytest.raises(StoreError) as caught:
        archive.put(new_upload())
    assert caught.value.cause == cause
    assert "body of" not in str(caught.value)


def test_attempt_ends_within_its_deadline_and_does_not_retry(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(412), hang]
    server.replies["GET"] = [status(200, headers=FOUND)]
    with pytest.raises(StoreError):
        archive_at(server.url, SESSION, deadline_seconds=15).put(new_upload("d2"))
    assert [method for method, _, _ in server.asked] == ["PUT", "GET", "PUT"]


def test_refused_connection_is_an_outage() -> None:
    with pytest.raises(StoreError, match="connection"):
        archive_at("http://127.0.0.1:1", SESSION).put(new_upload())


def test_key_refused_by_s3_is_permanent(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(400, "KeyTooLongError")]
    with pytest.raises(RefusedObjectError, match="KeyTooLongError"):
        archive_at(server.url, SESSION).put(new_upload())


def test_existing_key_is_compared_with_the_stored_object(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(412, "PreconditionFailed")]
    server.replies["GET"] = [status(200, headers=FOUND)]
    assert archive_at(server.url, SESSION).put(new_upload()) is Outcome.DUPLICATE


@pytest.mark.parametrize("garbled", [garbage, cut, answer(200, "<html>", {"Content-Length": "900"})])
def test_put_with_a_corrupt_answer_is_found_stored(server: ScriptedServer, garbled: Reply) -> None:
    server.replies["PUT"] = [garbled, status(412, "PreconditionFailed")]
    server.replies["GET"] = [status(200, headers=FOUND)]
    archive = archive_at(server.url, SESSION)
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(archive.put(new_upload()))
        except StoreError:
            continue
    assert outcomes in ([Outcome.DUPLICATE], [Outcome.STORED, Outcome.DUPLICATE])


EMAIL = {"email_subject": "a", "email_sender": "b", "email_timestream": "1693561101", "email_content": "c"}
NO_METADATA = {"Last-Modified": "Thu, 10 Dec 2026 14:30:22 GMT"}


def stored(email_data: object) -> str:
    return json.dumps({"message_id": "1", "processed_at": "before", "email_data": email_data, "metadata": {}})


def settled(server: ScriptedServer, text: str, headers: dict[str, str]) -> Outcome:
    server.replies["PUT"] = [status(412), status(200)]
    server.replies["GET"] = [answer(200, text, headers)]
    return archive_at(server.url, SESSION).put(new_upload(email_sha256(EMAIL)))


@pytest.mark.parametrize("headers", [NO_METADATA, FOUND], ids=["none", "garbled"])
def test_content_decides_if_metadata_does_not_prove_equality(server: ScriptedServer, headers: dict[str, str]) -> None:
    assert settled(server, stored(dict(reversed(EMAIL.items()))), headers) is Outcome.DUPLICATE
    assert [method for method, _, _ in server.asked] == ["PUT", "GET"]


def test_other_email_without_metadata_is_a_conflict(server: ScriptedServer) -> None:
    assert settled(server, stored(EMAIL | {"email_content": "d"}), NO_METADATA) is Outcome.CONFLICT


def test_raw_body_is_compared_unchanged(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(412)]
    server.replies["GET"] = [answer(200, "no e-mail", NO_METADATA)]
    item = new_upload(hashlib.sha256(b"no e-mail").hexdigest())
    assert archive_at(server.url, SESSION).put(item) is Outcome.DUPLICATE


def test_unrecognized_object_is_retried_and_no_conflict(server: ScriptedServer) -> None:
    with pytest.raises(StoreError, match="unclear"):
        settled(server, "<html>Bad gateway</html>", NO_METADATA)
    assert [method for method, _, _ in server.asked] == ["PUT", "GET"]


def test_concurrent_failed_put_is_retried_and_no_conflict(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(409, "ConditionalRequestConflict")]
    with pytest.raises(StoreError, match="contended"):
        archive_at(server.url, SESSION).put(new_upload())
    assert len(server.asked) == 1


@pytest.mark.parametrize("conflict", [True, False])
def test_put_of_another_writer_in_progress_is_not_acknowledged(server: ScriptedServer, conflict: bool) -> None:
    server.replies["PUT"] = [status(412), status(409, "ConditionalRequestConflict")] if conflict else [status(409)]
    server.replies["GET"] = [status(200, headers=FOUND)]
    server.replies["HEAD"] = [status(404)]
    with pytest.raises(StoreError, match="contended"):
        archive_at(server.url, SESSION).put(new_upload("d2", conflict=conflict))


# ---- write-once -----------------------------------------------------------------------------------------------------


def test_store_that_ignores_if_none_match_is_refused_with_advice(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(200)] * 3
    with pytest.raises(OverwritesError, match=r"ignores If-None-Match: .* ALLOW_OVERWRITE=true accepts that"):
        archive_at(server.url, SESSION).check()


def test_store_that_ignores_if_none_match_is_accepted_if_allowed(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(200)]
    archive_at(server.url, SESSION, allow_overwrite=True).check()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "refusals", [[status(412)], [status(409, "ConditionalRequestConflict")], [status(200), status(412)]]
)
def test_refused_create_proves_write_once_in_an_emptied_bucket(server: ScriptedServer, refusals: list[Reply]) -> None:
    server.replies["PUT"] = [status(200), *refusals]
    archive_at(server.url, SESSION).check()
    asked = [{name.lower(): value for name, value in headers.items()} for _, _, headers in server.asked]
    assert [headers.get("if-none-match") for headers in asked] == [None] + ["*"] * len(refusals)
    assert {path for _, path, _ in server.asked} == {f"/{BUCKET}/{PROBE_KEY}"}


@pytest.mark.parametrize("replies", [[status(503)], [status(200), status(503)], [status(200), status(501)]])
def test_store_failure_during_the_check_proves_nothing(server: ScriptedServer, replies: list[Reply]) -> None:
    server.replies["PUT"] = replies
    with pytest.raises(StoreError):
        archive_at(server.url, SESSION).check()


def test_each_put_forbids_overwriting_and_carries_a_signature(server: ScriptedServer) -> None:
    server.replies["PUT"] = [status(200)]
    archive_at(server.url, SESSION).put(new_upload())
    (method, path, headers) = server.asked[0]
    lower = {name.lower(): value for name, value in headers.items()}
    assert (method, path) == ("PUT", f"/{BUCKET}/messages/2026/12/10/a.json")
    assert lower["if-none-match"] == "*"
    assert "/eu-central-1/s3/" in lower["authorization"]


# ---- credentials ----------------------------------------------------------------------------------------------------


def test_missing_credentials_are_an_outage(server: ScriptedServer) -> None:
    def refresh() -> S3Credential:
        raise CredentialsError("InvalidIdentityToken")

    archive = opened(refresh, server.url, 3)
    with pytest.raises(StoreError, match="credentials"):
        archive.put(new_upload())
    assert server.asked == []
