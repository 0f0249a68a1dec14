"""Count the files below a prefix of a bucket, or send for each the event that S3 sends when a file is created."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_BATCH_ENTRIES = 10  # SQS's limit
_SHOWN = 3
_NO_LIMIT = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class File:
    """An object as the bucket lists it; the version is empty in a bucket without versioning."""

    bucket: str
    key: str
    version: str
    etag: str
    size: int
    created_at: datetime


def parse_url(url: str) -> tuple[str, str]:
    """Split s3://bucket/prefix into bucket and prefix. Raise ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"expected s3://BUCKET/PREFIX, got {url}")
    return parts.netloc, parts.path.removeprefix("/")


def parse_time(text: str) -> datetime:
    """Return a time in ISO 8601, by default in UTC; an empty text means no limit. Raise ValueError."""
    if not text:
        return _NO_LIMIT
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--since: expected a time such as 2026-12-01T00:00:00Z, got {text}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def files(s3: "S3Client", bucket: str, prefix: str, since: datetime) -> Iterator[File]:
    """Yield the current version of each object below the prefix, except folder markers."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Versions", []):
            if not entry["IsLatest"] or entry["LastModified"] < since or entry["Key"].endswith("/"):
                continue
            version = "" if entry["VersionId"] == "null" else entry["VersionId"]
            etag = entry["ETag"].strip('"')
            yield File(bucket, entry["Key"], version, etag, entry["Size"], entry["LastModified"])


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
            "configurationId": "enqueue_files",
            "bucket": {"name": file.bucket, "arn": f"arn:aws:s3:::{file.bucket}"},
            "object": described,
        },
    }
    return {"Records": [record]}


def send(sqs: "SQSClient", queue_url: str, found: Iterator[File], region: str) -> Iterator[int]:
    """Send an event for each file in batches of ten; yield the number confirmed so far. Raise ValueError if refused."""
    sent = 0
    while batch := list(islice(found, _BATCH_ENTRIES)):
        entries: Any = [
            {"Id": str(number), "MessageBody": json.dumps(event(file, region))} for number, file in enumerate(batch)
        ]
        reply = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        sent += len(reply.get("Successful", []))
        yield sent
        if failed := reply.get("Failed", []):
            codes = sorted({entry["Code"] for entry in failed})
            raise ValueError(f"SQS refused {len(failed)} message(s): {', '.join(codes)}")


def count(found: Iterator[File], url: str) -> None:
    """Print the first files, and the number and size of all."""
    number = size = 0
    for file in found:
        number += 1
        size += file.size
        if number <= _SHOWN:
            print(f"  {file.key}  {file.size} bytes  {file.created_at:%Y-%m-%d %H:%M:%S} UTC")
    print(f"{number} file(s), {size} bytes, below {url}")


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run `count` or `send` for a URL and an earliest time. Exit codes: 0 done, 1 failed, 2 wrong settings."""
    action, url, since = arguments
    needed = ("AWS_REGION",) if action == "count" else ("AWS_REGION", "FILES_QUEUE_URL")
    missing = [name for name in needed if not environment.get(name)]
    try:
        if missing:
            raise ValueError(f"not set: {', '.join(missing)}")
        (bucket, prefix), earliest = parse_url(url), parse_time(since)
    except ValueError as exc:
        print(exc, file=sys.stderr)
        return 2
    region, sent = environment["AWS_REGION"], 0
    found = files(boto3.client("s3", region_name=region), bucket, prefix, earliest)
    try:
        if action == "count":
            count(found, url)
            return 0
        sqs = boto3.client("sqs", region_name=region)
        for sent in send(sqs, environment["FILES_QUEUE_URL"], found, region):
            if sent % 1000 == 0:
                print(f"{sent} sent", flush=True)
    except (ClientError, BotoCoreError, ValueError) as exc:
        print(f"{sent} sent, then: {exc}" if action == "send" else exc, file=sys.stderr)
        return 1
    print(f"{sent} event(s) sent to {environment['FILES_QUEUE_URL']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
