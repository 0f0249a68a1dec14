"""Object keys of the archive: the template of S3_KEY_TEMPLATE, its checks, the prefix of conflicts. Pure: no I/O."""

import hashlib
import re
import string
import unicodedata
from datetime import datetime

from pillarbox.ids import time_of

MAX_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_SENDER_LENGTH = 64

_PREFIX = "{prefix}"
_FIELDS = ("prefix", "date", "message_id", "sender", "shard")
# These directives depend on the timestamp only, not on the locale or time zone of the machine.
_DATE_DIRECTIVES = frozenset("YymdHMSjfGVu%")
RESERVED_PREFIXES = ("conflicts/", "health/")
_ADDRESS = re.compile(r"<([^<>]*)>\s*$")
_UNSAFE = re.compile(r"[^a-z0-9._+]+")
_EXAMPLE_ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"


class KeyTemplate:
    """Builds object keys from id, timestamp and sender. Raise ValueError unless the keys are safe and distinct.

    `{shard}` is two hex digits of the id's SHA-256. In front of the date it spreads keys over 256 prefixes, each of
    which takes 3,500 writes a second:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
    """

    def __init__(self, template: str, prefix: str) -> None:
        _check_fields(template)
        self._template = template
        self._prefix = prefix
        self.depends_on_sender = "{sender}" in template
        self.example = self.key(_EXAMPLE_ID, time_of(_EXAMPLE_ID), "Jane Doe <jane.doe@example.com>")
        problem = _key_problem(self.example)
        if problem:
            raise ValueError(f"{problem} (its keys look like {self.example})")

    def key(self, message_id: str, timestamp: datetime, sender: str) -> str:
        """Return the key of a message."""
        slug = sender_slug(sender) if self.depends_on_sender else ""
        shard = hashlib.sha256(message_id.encode()).hexdigest()[:2] if "{shard}" in self._template else ""
        return self._template.format(
            prefix=self._prefix, date=timestamp, message_id=message_id, sender=slug, shard=shard
        )


def conflict_prefix(message_id: str, timestamp: datetime) -> str:
    """Return the prefix of the objects that hold other e-mails under an id that is taken."""
    return f"conflicts/{timestamp:%Y/%m/%d}/{message_id}/"


def _check_fields(template: str) -> None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as exc:
        raise ValueError(f"is not in Python format syntax: {exc}") from None
    used = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in _FIELDS or conversion:
            raise ValueError(f"may use the fields {', '.join(_FIELDS)} only, without conversions")
        directives = re.findall("%(.?)", spec or "") if name == "date" else []
        if name != "date" and spec:
            raise ValueError(f"must not format {name}, only date")
        if name == "date" and (not directives or not _DATE_DIRECTIVES.issuperset(directives) or "{" in (spec or "")):
            raise ValueError(
                "must format date with directives independent of locale and time zone, such as {date:%Y/%m/%d}"
            )
        used.append(name)
    if not template.startswith(_PREFIX):
        raise ValueError(f"must begin with {_PREFIX}: S3_PREFIX names where the service may write")
    if "message_id" not in used:
        raise ValueError("must contain {message_id}, else two messages share a key")


def _key_problem(key: str) -> str | None:
    if key.startswith("/") or any(part in ("", ".", "..") for part in key.split("/")):
        return "must not give empty, '.' or '..' parts between slashes"
    if not key.isprintable() or len(key.encode()) > MAX_KEY_BYTES // 2:
        return f"must give printable keys of at most {MAX_KEY_BYTES // 2} bytes"
    if key.startswith(RESERVED_PREFIXES):
        return f"must not give keys below {' or '.join(RESERVED_PREFIXES)}, which are reserved"
    return None


def sender_slug(sender: str) -> str:
    """Return the sender as a safe part of a key: the local part of an address, else the text, in a-z 0-9 . _ + -."""
    address = _ADDRESS.search(sender)
    text = address[1] if address else sender
    local = text.rpartition("@")[0] or text
    plain = unicodedata.normalize("NFKD", local[: 4 * MAX_SENDER_LENGTH]).encode("ascii", "ignore").decode().lower()
    slug = _UNSAFE.sub("-", plain)[:MAX_SENDER_LENGTH].strip("-.")
    return slug or "unknown"
