"""The end-to-end test: send one e-mail over HTTP, find its object in S3, compare the content, delete the object."""

import http.client
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from e2e_test.e2e_archive import Archive, Found
from e2e_test.e2e_http import request

_POLL_SECONDS = 0.25
_REPORT_SECONDS = 5


class FailedError(Exception):
    """The pipeline failed the test; the text says how."""


@dataclass(frozen=True, slots=True)
class Target:
    """The pipeline under test. `connect_to` is the load balancer if DNS does not point to it yet, or empty."""

    api_url: str
    connect_to: str
    token: str
    region: str
    bucket: str
    prefix: str
    timeout_seconds: float


def target_of(environment: Mapping[str, str]) -> Target:
    """Return the target from environment variables. Raise ValueError that names a wrong one."""
    load_balancer = environment.get("ALB_DNS", "")
    url = environment.get("API_URL", "") or (f"http://{load_balancer}" if load_balancer else "")
    required = {name: environment.get(name, "") for name in ("API_TOKEN", "S3_BUCKET_NAME", "AWS_REGION")}
    missing = [name for name, value in required.items() if not value] + ([] if url else ["API_URL or ALB_DNS"])
    if missing:
        raise ValueError(f"not set: {', '.join(missing)}")
    timeout = environment.get("E2E_TIMEOUT_SECONDS", "60")
    if not timeout.isdecimal() or int(timeout) == 0:
        raise ValueError("E2E_TIMEOUT_SECONDS: expected a whole number of seconds above 0")
    return Target(
        api_url=url.rstrip("/"),
        connect_to=load_balancer if environment.get("API_URL") else "",
        token=required["API_TOKEN"],
        region=required["AWS_REGION"],
        bucket=required["S3_BUCKET_NAME"],
        prefix=environment.get("S3_PREFIX", "messages/"),
        timeout_seconds=int(timeout),
    )


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted e-mail: its id, and the path of its status, or an empty path if the API does not offer one."""

    message_id: str
    status_path: str


def send(target: Target, email: Mapping[str, str]) -> Accepted:
    """POST the e-mail. Raise FailedError for any answer other than 200."""
    url = f"{target.api_url}/api/message"
    print(f"[1/5] sending an e-mail to {url}")
    body = json.dumps({"data": email}).encode()
    headers = {"Authorization": f"Bearer {target.token}"}
    try:
        answer = request(url, body, headers, connect_to=target.connect_to)
    except (OSError, http.client.HTTPException) as exc:
        raise FailedError(f"no answer: {exc}") from exc
    if answer.status != 200:
        raise FailedError(f"status {answer.status} {answer.code()}".rstrip())
    message_id = str(answer.body["message_id"])
    print(f"      status {answer.status}, message id {message_id}")
    return Accepted(message_id, answer.location)


def wait_by_api(target: Target, accepted: Accepted, deadline: float) -> None:
    """Wait for the object through the API's status route, if it has one. Only the bucket decides the result."""
    while accepted.status_path and (left := deadline - time.monotonic()) > 0:
        headers = {"Authorization": f"Bearer {target.token}", "Prefer": f"wait={min(5, math.ceil(left))}"}
        try:
            answer = request(f"{target.api_url}{accepted.status_path}", None, headers, connect_to=target.connect_to)
        except (OSError, http.client.HTTPException) as exc:
            print(f"      the API did not return the status: {exc}")
            return
        if answer.code() != "not_archived":
            print(f"      status from the API: {answer.status} {answer.code() or answer.body['status']}")
            return
        time.sleep(_POLL_SECONDS)  # if too many requests wait, the API answers at once


def wait_for(archive: Archive, message_id: str, timeout_seconds: float, started: float) -> Found:
    """Poll until the record is stored. Raise FailedError after `timeout_seconds` since `started` (monotonic)."""
    reported = 0
    while not (found := archive.find(message_id)):
        waited = time.monotonic() - started
        if waited > timeout_seconds:
            raise FailedError(f"no object for {message_id} within {timeout_seconds:.0f} s")
        if waited >= reported + _REPORT_SECONDS:
            reported += _REPORT_SECONDS
            print(f"[3/5] waiting for the object ({reported}s / {timeout_seconds:.0f}s)")
        time.sleep(_POLL_SECONDS)
    print(f"[4/5] {found.key}, written {found.stored_at:%Y-%m-%d %H:%M:%S} UTC")
    return found


def verify(found: Found, email: Mapping[str, str]) -> None:
    """Compare the record with the e-mail. Raise FailedError that names the fields that differ."""
    stored = found.record["email_data"]
    different = sorted(name for name in {*stored, *email} if stored.get(name) != email.get(name))
    if different:
        raise FailedError(f"the stored e-mail differs in {', '.join(different)}")
    print("[5/5] content verified: all fields are equal")


def clean_up(archive: Archive, found: Found) -> None:
    """Delete the test's object, unless it is a batch with other e-mails."""
    if found.records_in_object > 1:
        print(f"      cleanup: {found.key} contains {found.records_in_object - 1} other e-mails and is kept")
        return
    print(f"      cleanup: {archive.delete(found)} version(s) of {found.key} deleted")


def run(target: Target) -> None:
    """Send, wait, compare, delete. Raise FailedError."""
    email = {
        "email_subject": "Pillarbox end-to-end test",
        "email_sender": "e2e-test@pillarbox.invalid",
        "email_timestream": str(int(time.time())),
        "email_content": "Sent by e2e_test/run_e2e.sh; removed when the test ends. ✓ \U0001f4ee",
    }
    archive = Archive(boto3.client("s3", region_name=target.region), target.bucket, target.prefix)
    accepted = send(target, email)
    print("[2/5] accepted by SQS, according to the 200 (receiving it here would hide it from the consumer)")
    started = time.monotonic()
    print(f"[3/5] waiting for the object (0s / {target.timeout_seconds:.0f}s)")
    wait_by_api(target, accepted, started + target.timeout_seconds)
    found = wait_for(archive, accepted.message_id, target.timeout_seconds, started)
    try:
        verify(found, email)
    finally:
        clean_up(archive, found)


def main() -> int:
    """Run the test against the pipeline of the environment. Exit codes: 0 passed, 1 failed, 2 wrong settings."""
    try:
        target = target_of(os.environ)
    except ValueError as exc:
        print(exc, file=sys.stderr)
        return 2
    try:
        run(target)
    except (FailedError, ClientError, BotoCoreError) as exc:
        print(f"      {exc}")
        print("FAILED")
        return 1
    print("PASSED")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
