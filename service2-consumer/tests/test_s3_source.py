"""Reading objects, against moto and against a server with scripted answers."""

from __future__ import annotations

import functools
from typing import Any

import botocore.config
import botocore.session
import pytest

from pillarbox_aws.credentials import SessionCredentials
from pillarbox_aws.object_store import open_store
from service2_consumer.ports import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, StoreError
from service2_consumer.s3_source import S3Source

from .conftest import REGION, Aws
from .scripted_server import Reply, ScriptedServer, cut, garbage, status

INBOX = "inbox"
PLAIN_KEYS = ["inbox/a.eml", "inbox/a b+c&d?e#f.eml", "inbox/ü€.eml", "inbox/a%41.eml"]
# obstore refuses these keys or reads another object.
HARD_KEYS = ["/a.eml", "inbox/a.eml/", "inbox//a.eml", "inbox/./a.eml", "inbox/../a.eml", "inbox/a\tb.eml"]


@functools.cache
def shared_session() -> tuple[botocore.session.Session, SessionCredentials]:
    """Return a session and its credentials: making them costs more than a test."""
    session = botocore.session.Session()
    session.set_credentials("test", "test")
    session.set_config_variable("region", REGION)
    credentials = SessionCredentials(session.get_credentials)
    credentials.start()
    return session, credentials


def source_at(url: str, bucket: str = INBOX) -> S3Source:
    session, credentials = shared_session()
    store = open_store(
        credentials.for_obstore,
        bucket,
        region=REGION,
        endpoint_url=url,
        request_seconds=60,
        user_agent="test",
        encryption={},
    )
    config = botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return S3Source(
        store,
        bucket,
        lambda: session.create_client("s3", endpoint_url=url, config=config),
        probe_key="health/file-intake",
    )


@pytest.fixture
def inbox(aws: Aws) -> Any:
    s3 = aws.s3
    if INBOX not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=INBOX, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=INBOX, VersioningConfiguration={"Status": "Enabled"})
    return s3


def read(
    source: S3Source, key: str, version: str | None = None, etag: str | None = None, max_bytes: int = 100
) -> bytes:
    return source.read(key, version=version, etag=etag, max_bytes=max_bytes).content


@pytest.mark.parametrize("key", PLAIN_KEYS + HARD_KEYS)
def test_exactly_the_object_of_the_key_is_read(key: str, inbox: Any, aws: Aws) -> None:
    for other in PLAIN_KEYS:
        inbox.put_object(Bucket=INBOX, Key=other, Body=b"another object")
    put = inbox.put_object(Bucket=INBOX, Key=key, Body=key.encode(), Metadata={"X-Note": "n"})
    found = source_at(aws.url).read(key, version=None, etag=None, max_bytes=100)
    assert (found.content, found.etag) == (key.encode(), put["ETag"].strip('"'))
    assert found.metadata["x-note"] == "n"
    assert found.last_modified == inbox.head_object(Bucket=INBOX, Key=key)["LastModified"]
    assert found.last_modified.utcoffset() is not None


@pytest.mark.parametrize("key", ["inbox/v.eml", "inbox//v.eml"])
def test_a_version_or_an_etag_pins_the_object(key: str, inbox: Any, aws: Aws) -> None:
    old = inbox.put_object(Bucket=INBOX, Key=key, Body=b"old")
    inbox.put_object(Bucket=INBOX, Key=key, Body=b"new")
    source = source_at(aws.url)
    assert read(source, key, version=old["VersionId"]) == b"old"
    assert read(source, key) == b"new"
    with pytest.raises(ObjectChangedError):
        read(source, key, etag=old["ETag"].strip('"'))


@pytest.mark.parametrize("key", ["inbox/none.eml", "inbox//none.eml"])
def test_an_object_that_does_not_exist_is_missing(key: str, inbox: Any, aws: Aws) -> None:
    source = source_at(aws.url)
    with pytest.raises(ObjectMissingError):
        read(source, key)
    version = inbox.put_object(Bucket=INBOX, Key=key, Body=b"deleted soon")["VersionId"]
    inbox.delete_object(Bucket=INBOX, Key=key, VersionId=version)
    with pytest.raises(ObjectMissingError):
        read(source, key, version=version)


@pytest.mark.parametrize("key", ["inbox/large.eml", "inbox//large.eml"])
def test_an_object_above_the_limit_is_not_read(key: str, inbox: Any, aws: Aws) -> None:
    inbox.put_object(Bucket=INBOX, Key=key, Body=b"12345")
    assert read(source_at(aws.url), key, max_bytes=5) == b"12345"
    with pytest.raises(ObjectTooLargeError):
        read(source_at(aws.url), key, max_bytes=4)


def test_the_probe_succeeds_where_its_key_is_free_and_fails_without_the_bucket(inbox: Any, aws: Aws) -> None:
    source_at(aws.url).probe()
    with pytest.raises(StoreError) as error:
        source_at(aws.url, "no-such-bucket").probe()
    assert error.value.cause == "no_such_bucket"


def test_a_404_without_a_code_is_a_missing_object(server: ScriptedServer) -> None:
    server.replies["GET"] = [status(404), status(404)]
    source_at(server.url).probe()
    with pytest.raises(ObjectMissingError):
        read(source_at(server.url), "a")


@pytest.mark.parametrize("key", ["a", "a//b"])
@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (status(503, "SlowDown"), "throttled"),
        (status(500, "InternalError"), "server_error"),
        (status(403, "AccessDenied"), "access_denied"),
        (status(404, "NoSuchBucket"), "no_such_bucket"),
        (cut, None),
        (garbage, None),
    ],
)
def test_a_failure_of_s3_is_one_that_a_retry_may_help(
    server: ScriptedServer, reply: Reply, cause: str | None, key: str
) -> None:
    server.replies["GET"] = [reply]
    with pytest.raises(StoreError) as error:
        read(source_at(server.url), key)
    assert cause in (error.value.cause, None)
