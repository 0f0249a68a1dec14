"""The message id of an object: the same for each event of one version, so that it is archived once. Pure: no I/O."""

import hashlib
from datetime import datetime

from pillarbox.ids import message_id_at, parse_message_id

NULL_VERSION = "null"  # of a bucket whose versioning is off or suspended: a later object can have it too


def object_message_id(last_modified: datetime, bucket: str, key: str, version: str | None, etag: str | None) -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7) of the time in milliseconds and a SHA-256 of bucket, key and version.

    The ETag stands in for a version that is missing or null. Raise ValueError for a time without a zone or outside
    1970 to 9998.
    """
    if last_modified.tzinfo is None or last_modified.timestamp() < 0:
        raise ValueError("Last-Modified must have a time zone and lie after 1970")
    identity = ("version", version) if version and version != NULL_VERSION else ("etag", etag or "")
    digest = hashlib.sha256()
    for part in (bucket, key, *identity):
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)  # with lengths, no two different lists give the same bytes
    return parse_message_id(message_id_at(last_modified, digest.digest()))
