"""Put e-mail files into the inbox and wait until each is a record in the archive."""

import gzip
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_POLL_SECONDS = 0.5
_MAX_CLOCK_DIFFERENCE = timedelta(minutes=10)  # between this machine and S3


class FailedError(Exception):
    """A file has no record, two records or a wrong one; the text says which."""


@dataclass(frozen=True, slots=True)
class Target:
    """The inbox and the archive; prefixes end with a slash or are empty."""

    inbox: str
    inbox_prefix: str
    archive: str
    prefix: str
    timeout_seconds: float


def target_of(environment: Mapping[str, str]) -> Target:
    """Return the target from environment variables. Raise ValueError that names a wrong one."""
    missing = [n for n in ("INBOX_BUCKET_NAME", "S3_BUCKET_NAME", "AWS_REGION") if not environment.get(n)]
    if missing:
        raise ValueError(f"not set: {', '.join(missing)}")
    timeout = environment.get("E2E_TIMEOUT_SECONDS", "60")
    if not timeout.isdecimal() or int(timeout) == 0:
        raise ValueError("E2E_TIMEOUT_SECONDS: expected a whole number of seconds above 0")
    return Target(
        inbox=environment["INBOX_BUCKET_NAME"],
        inbox_prefix=environment.get("INBOX_PREFIX", "inbox/"),
        archive=environment["S3_BUCKET_NAME"],
        prefix=environment.get("S3_PREFIX", "messages/"),
        timeout_seconds=int(timeout),
    )


def email_file(subject: str, date: datetime) -> bytes:
    """Return an e-mail (RFC 5322) with an encoded word, a text that needs quoted-printable, and an HTML alternative."""
    mail = EmailMessage()
    mail["From"] = "Files test <files-test@example.com>"
    mail["To"] = "archive@example.com"
    mail["Subject"] = f"{subject} ✓"
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = f"<{secrets.token_hex(8)}@example.com>"
    mail.set_content(text_of(subject), cte="quoted-printable")
    mail.add_alternative(f"<p>{subject}</p>\n", subtype="html")
    return mail.as_bytes()


def text_of(subject: str) -> str:
    """Return the text part of the e-mail with this subject."""
    return f"{subject}: sent by e2e_test/send_files.sh, à bientôt 📮\n"


def drop(s3: "S3Client", target: Target, count: int) -> dict[str, str]:
    """Put files whose names need encoding in an event; return their subjects by key."""
    run, now = secrets.token_hex(4), datetime.now(UTC)
    subjects = {}
    for number in range(1, count + 1):
        key = f"{target.inbox_prefix}files-test {run}/é+{number}.eml"
        subject = f"Pillarbox files test {run}, {number} of {count}"
        s3.put_object(Bucket=target.inbox, Key=key, Body=email_file(subject, now))
        subjects[key] = subject
    return subjects


def records(s3: "S3Client", target: Target, since: datetime, seen: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and record of each object that was written after `since` and is not in `seen`; add it to `seen`."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=target.archive, Prefix=target.prefix)
    for page in pages:
        for entry in page.get("Contents", []):
            if entry["LastModified"] < since or entry["Key"] in seen:
                continue
            seen.add(entry["Key"])
            raw = s3.get_object(Bucket=target.archive, Key=entry["Key"])["Body"].read()
            plain = gzip.decompress(raw) if entry["Key"].endswith(".gz") else raw
            for line in plain.splitlines():
                yield entry["Key"], json.loads(line)


def wait_for(s3: "S3Client", target: Target, subjects: Mapping[str, str], since: datetime) -> list[str]:
    """Return the key of each file's record. Raise FailedError if one is missing, duplicated or different."""
    deadline = time.monotonic() + target.timeout_seconds
    seen: set[str] = set()
    found: dict[str, str] = {}
    while len(found) < len(subjects):
        for key, record in records(s3, target, since, seen):
            source = record["metadata"].get("source_object", {})
            name = source.get("key")
            if source.get("bucket") != target.inbox or name not in subjects:
                continue
            if name in found:
                raise FailedError(f"{name} is archived twice: {found[name]} and {key}")
            check(name, subjects[name], record["email_data"])
            found[name] = key
        if time.monotonic() > deadline:
            raise FailedError(f"{len(found)} of {len(subjects)} records within {target.timeout_seconds:.0f} s")
        time.sleep(_POLL_SECONDS)
    return [found[name] for name in subjects]


def check(name: str, subject: str, email_data: Mapping[str, str]) -> None:
    """Raise FailedError that names the fields that differ from the file."""
    expected = {"email_subject": f"{subject} ✓", "email_content": text_of(subject)}
    different = [
        field for field, value in expected.items() if str(email_data.get(field, "")).rstrip() != value.rstrip()
    ]
    if "files-test@example.com" not in str(email_data.get("email_sender", "")):
        different.append("email_sender")
    if different:
        raise FailedError(f"the record of {name} differs in {', '.join(different)}")


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Put as many files as the argument says. Exit codes: 0 all archived, 1 failed, 2 wrong settings."""
    try:
        target = target_of(environment)
    except ValueError as exc:
        print(exc, file=sys.stderr)
        return 2
    s3 = boto3.client("s3", region_name=environment["AWS_REGION"])
    try:
        since = datetime.now(UTC) - _MAX_CLOCK_DIFFERENCE
        subjects = drop(s3, target, int(arguments[0]))
        print(f"{len(subjects)} file(s) dropped into s3://{target.inbox}/{target.inbox_prefix}", file=sys.stderr)
        keys = wait_for(s3, target, subjects, since)
    except (FailedError, ClientError, BotoCoreError) as exc:
        print(f"{exc}\nFAILED", file=sys.stderr)
        return 1
    print("\n".join(keys))
    print(f"PASSED: {len(keys)} record(s) in s3://{target.archive}/{target.prefix}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
