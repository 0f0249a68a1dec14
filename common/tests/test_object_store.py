"""Buckets opened with a session's credentials, and the causes of obstore's errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from pillarbox_aws.object_store import Failure, ObjectStoreError, create_object, failure_of, open_store

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (UnauthenticatedError("401"), Failure("credentials", "")),
        (PermissionDeniedError("<Code>ExpiredToken</Code>"), Failure("credentials", "ExpiredToken")),
        (PermissionDeniedError("<Code>AccessDenied</Code>"), Failure("access_denied", "AccessDenied")),
        (FileNotFoundError("<Code>NoSuchBucket</Code>"), Failure("no_such_bucket", "NoSuchBucket")),
        (GenericError("status code: 503 <Code>SlowDown</Code>"), Failure("throttled", "SlowDown")),
        (GenericError("status code: 429"), Failure("throttled", "")),
        (GenericError("status code: 500 <Code>InternalError</Code>"), Failure("server_error", "InternalError")),
        (GenericError("status code: 400 <Code>KeyTooLongError</Code>"), Failure("other", "KeyTooLongError")),
        (GenericError("HttpError { kind: Timeout }"), Failure("timeout", "")),
        (GenericError("HttpError { kind: Connect }"), Failure("connection", "")),
        (ValueError("anything"), Failure("other", "")),
    ],
)
def test_error_has_a_short_cause_and_the_code_of_s3(error: Exception, failure: Failure) -> None:
    assert failure_of(error) == failure


def opened(bucket: str = "archive", endpoint_url: str | None = None, ca_bundle: str | None = None) -> S3Store:
    def credentials() -> S3Credential:
        raise AssertionError("no request is sent")

    return open_store(
        credentials,
        bucket,
        region="eu-central-1",
        endpoint_url=endpoint_url,
        request_seconds=5,
        user_agent="test",
        encryption={},
        ca_bundle=ca_bundle,
    )


@pytest.mark.parametrize(
    ("bucket", "endpoint_url", "virtual_host"),
    [("archive", None, True), ("with.dots", None, False), ("archive", "http://127.0.0.1:9", False)],
)
def test_bucket_is_in_the_host_name_only_if_a_certificate_covers_it(
    bucket: str, endpoint_url: str | None, virtual_host: bool
) -> None:
    config = opened(bucket, endpoint_url).config
    assert str(config["virtual_hosted_style_request"]).lower() == str(virtual_host).lower()


def test_unreadable_ca_bundle_raises_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        opened(ca_bundle=str(tmp_path / "missing.pem"))


class _Told(BaseHTTPRequestHandler):
    """Answers each PUT with the next scripted status and code."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[list[tuple[int, str]]] = []
    headers_seen: ClassVar[list[Message]] = []

    def do_PUT(self) -> None:  # the name that http.server calls
        self.rfile.read(int(self.headers["Content-Length"]))
        self.headers_seen.append(self.headers)
        status, code = self.script.pop(0)
        body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
        self.send_response(status)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Log nothing."""


@pytest.fixture
def told() -> Iterator[S3Store]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Told)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield open_store(
        lambda: {"access_key_id": "a", "secret_access_key": "b", "token": None, "expires_at": None},
        "archive",
        region="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        request_seconds=60,
        user_agent="test",
        encryption={},
    )
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "code", "created"), [(200, "", True), (412, "PreconditionFailed", False)])
def test_object_is_created_unless_its_key_is_taken(told: S3Store, status: int, code: str, created: bool) -> None:
    _Told.script[:] = [(status, code)]
    assert create_object(told, "a/b.json", b"{}", {"Content-Type": "application/json"}) is created
    headers = _Told.headers_seen[-1]
    assert (headers["If-None-Match"], headers["Content-Type"]) == ("*", "application/json")


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (409, "ConditionalRequestConflict", "contended"),
        (409, "", "contended"),
        (503, "SlowDown", "throttled"),
        (403, "AccessDenied", "access_denied"),
        (404, "NoSuchBucket", "no_such_bucket"),
    ],
)
def test_failed_creation_is_sent_once_and_has_a_cause(told: S3Store, status: int, code: str, cause: str) -> None:
    _Told.script[:] = [(status, code)]
    with pytest.raises(ObjectStoreError) as caught:
        create_object(told, "a/b.json", b"{}", {})
    assert caught.value.failure == Failure(cause, code)
