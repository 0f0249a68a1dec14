"""Groups records into objects and decides when each is written. Pure: no I/O, time is passed in."""

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from isal import igzip

from service2_consumer.model import InFlightMessage, Record, Upload


class Batcher(Protocol):
    """Groups records into uploads; seconds are those of a monotonic clock."""

    def add(self, message: InFlightMessage, record: Record, now_seconds: float) -> None:
        """Add a record."""
        ...

    def take_due(self, now_seconds: float, *, everything: bool = False) -> list[Upload]:
        """Remove and return the uploads that are due, oldest first, or all."""
        ...

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Return the longest time until the next upload is due; None if no batch is open."""
        ...


class SingleBatcher:
    """`OBJECT_LAYOUT=message`: each record is one object, due at once; `compresses` makes it a gzip file."""

    def __init__(self, *, compresses: bool = False) -> None:
        self._suffix = ".gz" if compresses else ""
        self._due: list[Upload] = []

    def add(self, message: InFlightMessage, record: Record, now_seconds: float) -> None:  # noqa: ARG002  # age has no effect
        """Add a record."""
        upload = Upload(
            key=record.key + self._suffix,
            body=igzip.compress(record.body, compresslevel=1, mtime=0) if self._suffix else record.body,
            content_type=record.content_type,
            digest_name="email-sha256",
            digest=record.sha256,
            conflict_key=record.conflict_key + self._suffix,
            content_encoding="gzip" if self._suffix else None,
            messages=[message],
            message_ids=[record.message_id],
        )
        self._due.append(upload)

    def take_due(self, now_seconds: float, *, everything: bool = False) -> list[Upload]:  # noqa: ARG002
        """Remove and return all uploads."""
        due, self._due = self._due, []
        return due

    def seconds_until_due(self, now_seconds: float) -> float | None:  # noqa: ARG002
        """Return None: no batch stays open."""
        return None


@dataclass(slots=True)
class _OpenBatch:
    """Records of one hour; a message received twice is one line with both messages."""

    opened_seconds: float
    hour: str
    size_bytes: int = 0
    lines: dict[tuple[str, str], bytes] = field(default_factory=dict)
    messages: list[InFlightMessage] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)


class HourlyBatcher:
    """`OBJECT_LAYOUT=batch`: records of one hour share a gzip JSON-lines object.

    A batch is due when it has enough messages or is old enough. When all open batches together exceed the byte limit,
    the oldest is due.
    """

    def __init__(self, prefix: str, *, max_messages: int, max_bytes: int, max_seconds: float) -> None:
        self._prefix = prefix
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._open: dict[str, _OpenBatch] = {}
        self._probes = SingleBatcher()
        self._full: list[_OpenBatch] = []

    def add(self, message: InFlightMessage, record: Record, now_seconds: float) -> None:
        """Add a record, and close the batches that are then full."""
        if record.is_probe:
            self._probes.add(message, record, now_seconds)
            return
        hour = f"{record.timestamp:%Y/%m/%d/%H}"
        batch = self._open.setdefault(hour, _OpenBatch(now_seconds, hour))
        batch.messages.append(message)
        batch.message_ids.append(record.message_id)
        member = (record.message_id, record.sha256)
        if member not in batch.lines:
            batch.lines[member] = record.body + b"\n"
            batch.size_bytes += len(record.body) + 1
        if len(batch.messages) >= self._max_messages:
            self._full.append(self._open.pop(hour))
        while self._open and sum(b.size_bytes for b in self._open.values()) >= self._max_bytes:
            self._full.append(self._open.pop(next(iter(self._open))))

    def take_due(self, now_seconds: float, *, everything: bool = False) -> list[Upload]:
        """Remove and return the full batches and those that are old enough, or all."""
        for hour, batch in list(self._open.items()):
            if everything or now_seconds >= batch.opened_seconds + self._max_seconds:
                self._full.append(self._open.pop(hour))
        due, self._full = self._full, []
        return self._probes.take_due(now_seconds) + [self._upload(batch) for batch in due]

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Return the time until the oldest open batch is due; None if no batch is open."""
        if not self._open:
            return None
        oldest = next(iter(self._open.values()))  # a dict keeps the order in which batches were opened
        return max(0.0, oldest.opened_seconds + self._max_seconds - now_seconds)

    def _upload(self, batch: _OpenBatch) -> Upload:
        members = sorted(batch.lines)
        digest = hashlib.sha256("\n".join(f"{i} {sha256}" for i, sha256 in members).encode()).hexdigest()
        return Upload(
            key=f"{self._prefix}{batch.hour}/{members[0][0]}-{digest}.jsonl.gz",
            body=igzip.compress(b"".join(batch.lines.values()), compresslevel=1, mtime=0),
            content_type="application/gzip",
            digest_name="members-sha256",
            digest=digest,
            messages=batch.messages,
            message_ids=batch.message_ids,
        )
