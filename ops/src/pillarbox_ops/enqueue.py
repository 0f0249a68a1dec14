"""Events for files that were in a bucket before its notification: one for each, as S3 would have sent it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

from pillarbox_ops.changes import SAMPLE
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.pace import Pace
from pillarbox_ops.scan import BATCH, chunks, results_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class File:
    """One object as its bucket lists it, its size in bytes; the version is empty where the bucket has none."""

    bucket: str
    key: str
    version: str
    etag: str
    size: int
    created_at: datetime


@dataclass(slots=True)
class Listed:
    """How many files were listed, their bytes, and the first of them."""

    number: int = 0
    size: int = 0
    sample: list[File] = field(default_factory=list)


def place_of(url: str) -> tuple[str, str]:
    """Return bucket and prefix of s3://bucket/prefix. Raise OpsError for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise OpsError(f"expected s3://BUCKET/PREFIX, got {url!r}", ExitCode.USAGE)
    return parts.netloc, parts.path.removeprefix("/")


def files(s3: S3Client, bucket: str, prefix: str, since: datetime | None = None) -> Iterator[File]:
    """Yield the current version of each object below the prefix, without the markers that stand for folders."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Versions", []):
            if not entry["IsLatest"] or entry["LastModified"] < (since or _LONG_AGO) or entry["Key"].endswith("/"):
                continue
            version = "" if entry["VersionId"] == "null" else entry["VersionId"]
            etag = entry["ETag"].strip('"')
            yield File(bucket, entry["Key"], version, etag, entry["Size"], entry["LastModified"])


def listed(found: Iterable[File]) -> Listed:
    """Return number, size and sample of files."""
    total = Listed()
    for file in found:
        total.number += 1
        total.size += file.size
        if len(total.sample) < SAMPLE:
            total.sample.append(file)
    return total


def event(file: File, region: str) -> dict[str, Any]:
    """Return the event of an object's creation.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    described = {"key": quote_plus(file.key, safe="/"), "size": file.size, "eTag": file.etag}
    if file.version:
        described["versionId"] = file.version
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": file.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "pillarbox-enqueue",
            "bucket": {"name": file.bucket, "arn": f"arn:aws:s3:::{file.bucket}"},
            "object": described,
        },
    }
    return {"Records": [record]}


def send(
    sqs: SQSClient, url: str, found: Iterable[File], region: str, *, pace: Pace, done: Callable[[int], None]
) -> int:
    """Send an event for each file, ten in a call, and return their number; `done` is told the number of each call.

    Raise OpsError if SQS refuses one, with the number of those that were sent.
    """
    sent = 0
    for batch in chunks(found, BATCH):
        pace.wait(len(batch))
        entries: Any = [
            {"Id": str(number), "MessageBody": json.dumps(event(file, region))} for number, file in enumerate(batch)
        ]
        codes = results_of(sqs.send_message_batch(QueueUrl=url, Entries=entries), len(batch))
        failed = Counter(filter(None, codes))
        sent += len(batch) - failed.total()
        if failed:
            raise OpsError(
                f"{sent} sent, then SQS refused {failed.total()}: {', '.join(sorted(failed))}. Run it again",
                ExitCode.DONE_IN_PART,
            )
        done(len(batch))
    return sent
