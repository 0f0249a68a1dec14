"""One e-mail sent through the running stack and found again, with the time between."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local_stack.processes import StackError
from local_stack.provision import session_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SAMPLE = {
    "email_subject": "Happy new year!",
    "email_sender": "John doe",
    "email_timestream": "1693561101",
    "email_content": "Just want to say... Happy new year!!!",
}

_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Journey:
    """What came back for an e-mail: the API's answer, the object, and the seconds from answer to object."""

    status: int
    answer: str
    key: str
    record: dict[str, Any]
    seconds: float


def send(environment: Mapping[str, str], data: Mapping[str, Any]) -> tuple[int, str]:
    """POST one e-mail and give the status and the text of the answer, whatever they are."""
    request = urllib.request.Request(  # noqa: S310  an http URL of this machine
        f"{environment['API_URL']}/api/message",
        data=json.dumps({"data": data}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {environment['API_TOKEN']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def take_through(environment: Mapping[str, str], timeout_seconds: float = 30) -> Journey:
    """Send the sample and wait for its object. Raises StackError when it is refused or not stored in time."""
    s3 = session_of(environment).client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])
    status, answer = send(environment, SAMPLE)
    accepted = time.monotonic()
    if status != 200:
        raise StackError(f"the sample e-mail was refused with {status}: {answer}")
    message_id = json.loads(answer)["message_id"]
    while time.monotonic() < accepted + timeout_seconds:
        found = find_object(s3, environment["S3_BUCKET_NAME"], message_id)
        if found:
            seconds = time.monotonic() - accepted
            body = s3.get_object(Bucket=environment["S3_BUCKET_NAME"], Key=found)["Body"].read()
            return Journey(status, answer, found, json.loads(body), seconds)
        time.sleep(_POLL_SECONDS)
    raise StackError(f"the sample e-mail {message_id} was accepted but not stored within {timeout_seconds:.0f} s")


def find_object(s3: "S3Client", bucket: str, message_id: str) -> str | None:
    """Give the key of a message's object in the default layout, None while it is not there."""
    milliseconds = int(message_id.replace("-", "")[:12], 16)  # UUIDv7: its first 48 bits are the time
    day = datetime.fromtimestamp(milliseconds / 1000, UTC)
    key = f"messages/{day:%Y/%m/%d}/{message_id}.json"
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as exc:
        if exc.response["Error"]["Code"] in {"404", "NoSuchKey"}:
            return None
        raise
    return key
