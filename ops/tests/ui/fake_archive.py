"""An archive in memory that counts the LIST calls: what S3 lists in pages of 1,000, and reads from a memory store."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import obstore
from obstore.store import MemoryStore

from pillarbox.ids import message_id_at
from pillarbox_ops.archive import Archive
from pillarbox_ops.layout import Layout

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
DEFAULT = "{prefix}{date:%Y/%m/%d}/{message_id}.json"
_PAGE = 1000


class FakeArchive:
    """`archive` reads what `put` and `put_batch` store. `lists` counts pages of LIST, `reads` has the keys read."""

    def __init__(self, template: str = DEFAULT) -> None:
        self.lists = 0
        self.bucket = "archive"
        self.s3: Any = self
        self.store = MemoryStore()
        self.keys: dict[str, tuple[int, datetime]] = {}
        client: Any = self
        store: Any = self.store
        self.archive = Archive(client, lambda: store, self.bucket, Layout(template, "messages/"))
        self.reads: list[str] = []
        self._raw = self.archive.raw
        self.archive.raw = self._counted  # type: ignore[method-assign]  # counts, and reads as before

    def put(self, seconds: float = 0, number: int = 0, *, sender: str = "jane", **fields: Any) -> str:
        """Store an e-mail received so long after noon, and return its key."""
        message_id = message_id_at(NOON + timedelta(seconds=seconds), number.to_bytes(10, "big"))
        timestamp = NOON + timedelta(seconds=seconds)
        key = self.archive.layout.keys.key(message_id, timestamp, sender)
        self._store(key, _record(message_id, timestamp, sender, **fields), timestamp)
        return key

    def put_batch(self, *seconds: float) -> str:
        """Store a batch of e-mails received so long after noon, and return its key."""
        times = [NOON + timedelta(seconds=offset) for offset in seconds]
        ids = [message_id_at(timestamp, b"\0" * 10) for timestamp in times]
        key = f"messages/{times[0]:%Y/%m/%d/%H}/{ids[0]}-{'f' * 64}.jsonl.gz"
        lines = [_record(message_id, timestamp, "jane") for message_id, timestamp in zip(ids, times, strict=True)]
        self._store(key, gzip.compress(b"\n".join(lines)), times[0])
        return key

    def list_only(self, count: int) -> None:
        """List so many e-mails of the seconds from noon on that no test reads."""
        for number in range(count):
            timestamp = NOON + timedelta(seconds=number)
            message_id = message_id_at(timestamp, number.to_bytes(10, "big"))
            self.keys[self.archive.layout.keys.key(message_id, timestamp, "")] = (100, timestamp)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803  boto3's names
        """Store an object as boto3's client does."""
        assert Bucket == self.bucket
        self._store(Key, Body, NOON)

    def get_paginator(self, name: str) -> "FakeArchive":
        """Return itself: it has the method `paginate` of boto3's paginator."""
        assert name == "list_objects_v2"
        return self

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages of a LIST."""
        prefix, after = arguments["Prefix"], arguments.get("StartAfter", "")
        found = [key for key in sorted(self.keys) if key.startswith(prefix) and key > after]
        for start in range(0, max(len(found), 1), _PAGE):
            self.lists += 1
            page = [(key, *self.keys[key]) for key in found[start : start + _PAGE]]
            yield {"Contents": [{"Key": key, "Size": size, "LastModified": at} for key, size, at in page]}

    def _counted(self, key: str) -> bytes:
        self.reads.append(key)
        return self._raw(key)

    def _store(self, key: str, body: bytes, modified_at: datetime) -> None:
        obstore.put(self.store, key, body)
        self.keys[key] = (len(body), modified_at)


def _record(message_id: str, timestamp: datetime, sender: str, **fields: Any) -> bytes:
    email = {"email_subject": message_id[-4:], "email_sender": sender, "email_content": "text"} | fields
    metadata = {"received_at": timestamp.isoformat()}
    record = {
        "message_id": message_id,
        "processed_at": timestamp.isoformat(),
        "email_data": email,
        "metadata": metadata,
    }
    return json.dumps(record).encode()
