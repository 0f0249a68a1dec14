"""Object layouts: which messages share an object, and when it is due. Pure: no I/O, time is passed in."""

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from isal import igzip

from service2_consumer.record import Record


@dataclass(slots=True)
class Held:
    """A message that a lane holds, without its body; `sent_seconds` is Unix time, the others a monotonic clock's."""

    receipt: str
    message_id: str
    receive_count: int
    sent_seconds: float
    received_seconds: float
    hidden_until_seconds: float


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object to write once; `digest` tells two contents under one key apart, `conflict_key` takes the second."""

    key: str
    body: bytes
    content_type: str
    digest_name: str
    digest: str
    conflict_key: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """An object, and the messages that may be acknowledged once it is stored."""

    item: NewObject
    messages: list[Held]


class Layout(Protocol):
    """Gathers records into parcels; seconds are those of a monotonic clock."""

    def add(self, message: Held, record: Record, now_seconds: float) -> None:
        """Take a record in."""
        ...

    def take_due(self, now_seconds: float, *, everything: bool = False) -> list[Parcel]:
        """Hand out the parcels that are due, the oldest first, or all that are open."""
        ...

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Tell when the next parcel is due, at the latest; None: nothing is open."""
        ...


class ObjectPerMessage:
    """`OBJECT_LAYOUT=message`: every record is an object of its own, due at once."""

    def __init__(self) -> None:
        self._due: list[Parcel] = []

    def add(self, message: Held, record: Record, now_seconds: float) -> None:  # noqa: ARG002  # age plays no part
        """Take a record in."""
        item = NewObject(
            key=record.key,
            body=record.body,
            content_type=record.content_type,
            digest_name="email-sha256",
            digest=record.sha256,
            conflict_key=record.conflict_key,
        )
        self._due.append(Parcel(item, [message]))

    def take_due(self, now_seconds: float, *, everything: bool = False) -> list[Parcel]:  # noqa: ARG002
        """Hand out whatever was added."""
        due, self._due = self._due, []
        return due

    def seconds_until_due(self, now_seconds: float) -> float | None:  # noqa: ARG002
        """Tell that nothing stays open."""
        return None


@dataclass(slots=True)
class _OpenBatch:
    """Records of one hour; a message that came twice is one line, with both receipts."""

    opened_seconds: float
    hour: str
    size_bytes: int = 0
    lines: dict[tuple[str, str], bytes] = field(default_factory=dict)
    messages: list[Held] = field(default_factory=list)


class BatchPerHour:
    """`OBJECT_LAYOUT=batch`: records of one hour share a gzip JSON-lines object.

    A batch is due when it has enough messages or is old enough; when all open batches together pass the byte budget,
    the oldest is due.
    """

    def __init__(self, prefix: str, *, max_messages: int, max_bytes: int, max_seconds: float) -> None:
        self._prefix = prefix
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._open: dict[str, _OpenBatch] = {}
        self._full: list[_OpenBatch] = []

    def add(self, message: Held, record: Record, now_seconds: float) -> None:
        """Take a record in, and close what that makes due."""
        hour = f"{record.moment:%Y/%m/%d/%H}"
        batch = self._open.setdefault(hour, _OpenBatch(now_seconds, hour))
        batch.messages.append(message)
        member = (record.message_id, record.sha256)
        if member not in batch.lines:
            batch.lines[member] = record.body + b"\n"
            batch.size_bytes += len(record.body) + 1
        if len(batch.messages) >= self._max_messages:
            self._full.append(self._open.pop(hour))
        while self._open and sum(b.size_bytes for b in self._open.values()) >= self._max_bytes:
            self._full.append(self._open.pop(next(iter(self._open))))

    def take_due(self, now_seconds: float, *, everything: bool = False) -> list[Parcel]:
        """Hand out the closed batches and those that are old enough, or all."""
        for hour, batch in list(self._open.items()):
            if everything or now_seconds >= batch.opened_seconds + self._max_seconds:
                self._full.append(self._open.pop(hour))
        due, self._full = self._full, []
        return [self._parcel(batch) for batch in due]

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Tell when the oldest open batch comes of age."""
        if not self._open:
            return None
        oldest = next(iter(self._open.values()))  # a dict keeps the order in which batches were opened
        return max(0.0, oldest.opened_seconds + self._max_seconds - now_seconds)

    def _parcel(self, batch: _OpenBatch) -> Parcel:
        members = sorted(batch.lines)
        digest = hashlib.sha256("\n".join(f"{i} {sha256}" for i, sha256 in members).encode()).hexdigest()
        item = NewObject(
            key=f"{self._prefix}{batch.hour}/{members[0][0]}-{digest}.jsonl.gz",
            body=igzip.compress(b"".join(batch.lines.values()), compresslevel=1, mtime=0),
            content_type="application/gzip",
            digest_name="members-sha256",
            digest=digest,
        )
        return Parcel(item, batch.messages)
