"""Reads the archive: find a record by its message id in either object layout, and delete it."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A batch is open for a few minutes at most, and its name begins with the id of its first message.
_MAX_BATCH_AGE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Found:
    """A stored record: its object's key and time, the record, and the number of records in the object."""

    key: str
    stored_at: datetime
    record: dict[str, Any]
    records_in_object: int


class Archive:
    """The records below one prefix of a bucket."""

    def __init__(self, s3: "S3Client", bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix

    def find(self, message_id: str) -> Found | None:
        """Return the record of a message id (UUIDv7), or None if it is not stored.

        The id's time limits the search: first the object named after the id, then the batches of its hour, then all
        objects of its day.
        """
        timestamp = _time_of(message_id)
        exact = f"{self._prefix}{timestamp:%Y/%m/%d}/{message_id}.json"
        for key in self._keys(exact):
            return self._record(key, message_id)
        hour = f"{self._prefix}{timestamp:%Y/%m/%d/%H}/"
        earliest = f"{int((timestamp - _MAX_BATCH_AGE).timestamp() * 1000):012x}"
        for key in self._keys(hour, start_after=f"{hour}{earliest[:8]}-{earliest[8:]}"):
            if key.endswith(".jsonl.gz") and (found := self._record(key, message_id)):
                return found
        for key in self._keys(f"{self._prefix}{timestamp:%Y/%m/%d}/"):
            if message_id in key:
                return self._record(key, message_id)
        return None

    def delete(self, found: Found) -> int:
        """Delete all versions of a record's object and return their number."""
        versions = [
            version["VersionId"]
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=found.key)
            for version in page.get("Versions", [])
            if version["Key"] == found.key
        ]
        for version in versions:
            self._s3.delete_object(Bucket=self._bucket, Key=found.key, VersionId=version)
        return len(versions)

    def _keys(self, prefix: str, start_after: str = "") -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, StartAfter=start_after
        )
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"]

    def _record(self, key: str, message_id: str) -> Found | None:
        answer = self._s3.get_object(Bucket=self._bucket, Key=key)
        raw = answer["Body"].read()
        lines = gzip.decompress(raw).splitlines() if key.endswith(".gz") else [raw]
        for record in map(json.loads, lines):
            if record["message_id"] == message_id:
                return Found(key, answer["LastModified"], record, len(lines))
        return None


def _time_of(message_id: str) -> datetime:
    return datetime.fromtimestamp(int(message_id.replace("-", "")[:12], 16) / 1000, UTC)
