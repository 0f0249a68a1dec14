"""Send one e-mail through the running stack, find its object, and measure the time between."""

import gzip
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local_stack.processes import StackError, direct
from local_stack.provision import client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SAMPLE = {
    "email_subject": "Happy new year!",
    "email_sender": "John doe",
    "email_timestream": "1693561101",
    "email_content": "Just want to say... Happy new year!!!",
}

_POLL_SECONDS = 0.005
_SEARCH_ALL_AFTER_SECONDS = 2  # in the default layout the object is found much sooner


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """An e-mail's way to S3: the API's answer, the object, and the seconds from the answer to the object."""

    status: int
    answer: str
    key: str
    record: dict[str, Any]
    seconds: float


def send(environment: Mapping[str, str], data: Mapping[str, Any]) -> tuple[int, str]:
    """POST one e-mail; return the status and the text of the answer. Raise StackError if no answer comes."""
    request = urllib.request.Request(  # noqa: S310  an http URL of this machine
        f"{environment['API_URL']}/api/message",
        data=json.dumps({"data": data}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {environment['API_TOKEN']}"},
    )
    try:
        with direct.open(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()
    except (OSError, http.client.HTTPException) as exc:
        raise StackError(f"service1-api does not answer: {exc}") from exc


def round_trip(environment: Mapping[str, str], timeout_seconds: float = 60) -> RoundTrip:
    """Send the sample and wait for its object. Raise StackError if it is refused or not stored in time."""
    s3, bucket = client(environment, "s3"), environment["S3_BUCKET_NAME"]
    status, answer = send(environment, SAMPLE)
    accepted = time.monotonic()
    if status != 200:
        raise StackError(f"the sample e-mail was refused with {status}: {answer}")
    message_id = json.loads(answer)["message_id"]
    try:
        while (waited := time.monotonic() - accepted) < timeout_seconds:
            key = find_object(s3, bucket, message_id, everywhere=waited > _SEARCH_ALL_AFTER_SECONDS)
            if key:
                return RoundTrip(status, answer, key, _record(s3, bucket, key), waited)
            time.sleep(_POLL_SECONDS if waited < _SEARCH_ALL_AFTER_SECONDS else 0.5)
    except (BotoCoreError, ClientError) as exc:
        raise StackError(f"the emulator does not answer: {exc}") from exc
    raise StackError(f"the sample e-mail {message_id} was accepted but not stored within {timeout_seconds:.0f} s")


def find_object(s3: "S3Client", bucket: str, message_id: str, *, everywhere: bool) -> str | None:
    """Return the key of a message's object, or None. With `everywhere`, any key that contains the id counts."""
    milliseconds = int(message_id.replace("-", "")[:12], 16)  # UUIDv7: its first 48 bits are the time
    day = datetime.fromtimestamp(milliseconds / 1000, UTC)
    key = f"messages/{day:%Y/%m/%d}/{message_id}.json"
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as exc:
        if exc.response["Error"]["Code"] not in {"404", "NoSuchKey"}:
            raise
    else:
        return key
    if not everywhere:
        return None
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = (entry["Key"] for page in pages for entry in page.get("Contents", []))
    return next((key for key in keys if message_id in key), None)


def _record(s3: "S3Client", bucket: str, key: str) -> dict[str, Any]:
    raw = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    first = gzip.decompress(raw).splitlines()[0] if key.endswith(".gz") else raw
    record: dict[str, Any] = json.loads(first)
    return record
