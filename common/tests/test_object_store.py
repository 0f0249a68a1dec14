"""Buckets opened with a session's credentials, and the causes of obstore's errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from pillarbox_aws.object_store import Failure, failure_of, open_store

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
