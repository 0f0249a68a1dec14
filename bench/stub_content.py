"""Made-up content for benchmarks: e-mails, e-mail files, and the events of S3 that name the files."""

import base64
import hashlib
import json

from pillarbox.strict_json import JsonValue

BUCKET = "inbox"
_ATTACHED_FROM_BYTES = 64 * 1024  # larger files have an attachment

_WORDS = [
    "winter",
    "letter",
    "parcel",
    "archive",
    "morning",
    "station",
    "garden",
    "signal",
    "harbour",
    "window",
    "paper",
    "stamp",
    "rain",
    "bridge",
    "clock",
]


def email_of(number: int, size_bytes: int) -> dict[str, JsonValue]:
    """Return a made-up e-mail of about `size_bytes`; each number has a different one."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    words = [_WORDS[int(digit, 16) % len(_WORDS)] + digest[:3] for digit in digest]
    sentence = " ".join(words) + f" {number} "
    content = sentence * (size_bytes // len(sentence) + 1)
    return {
        "email_subject": f"Letter {number}",
        "email_sender": f"sender{number % 97}@example.com",
        "email_timestream": "1693561101",
        "email_content": content[: max(1, size_bytes - 150)],
    }


def email_file_of(number: int, size_bytes: int) -> bytes:
    """Return an e-mail file of about `size_bytes`: text and HTML, and an attachment if it is large."""
    text = str(email_of(number, min(size_bytes // 2, 4096))["email_content"])
    parts = [("text/plain; charset=utf-8", "8bit", text), ("text/html; charset=utf-8", "8bit", f"<p>{text}</p>")]
    if size_bytes >= _ATTACHED_FROM_BYTES:
        raw = hashlib.sha256(str(number).encode()).digest() * (size_bytes * 3 // 4 // 33)
        parts.append(('application/pdf; name="letter.pdf"', "base64", base64.encodebytes(raw).decode()))
    lines = [
        f"From: Sender {number} <sender{number % 97}@example.com>",
        "To: archive@example.com",
        f"Subject: =?utf-8?q?Letter_{number}_=C3=BC?=",
        "Date: Thu, 10 Dec 2026 14:00:00 +0000",
        f"Message-ID: <{number}@example.com>",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="=_part"',
        "",
    ]
    for content_type, encoding, body in parts:
        lines += ["--=_part", f"Content-Type: {content_type}", f"Content-Transfer-Encoding: {encoding}", "", body]
    return "\r\n".join([*lines, "--=_part--", ""]).encode()


def key_of(number: int) -> str:
    """Return the key of a file."""
    return f"inbox/{number}.eml"


def event_of(number: int, content: bytes) -> str:
    """Return the message that S3 sends when the file is created."""
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    described = {"key": key_of(number), "size": len(content), "eTag": etag, "sequencer": f"{number:016X}"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-12-10T14:30:22.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
            "object": described,
        },
    }
    return json.dumps({"Records": [record]})
