"""The interfaces of the queue and the archive, and the errors that their adapters raise."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from service2_consumer.model import Download, InFlightMessage, Outcome, Reading, StoredObject, Upload


class QueueError(Exception):
    """A call to the queue failed and may succeed later; `cause` is a short code."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class StoreError(Exception):
    """A request to S3 failed, and a retry may help; `cause` is a label of the metric, `code` S3's error code."""

    def __init__(self, cause: str, code: str = "") -> None:
        super().__init__(f"{cause} {code}".strip())
        self.cause = cause
        self.code = code


class RefusedObjectError(Exception):
    """The archive can never store this object; the text is S3's error code."""


class OverwritesError(Exception):
    """The archive overwrites existing objects; the text says what to do."""


class ObjectMissingError(Exception):
    """The object, or the version of it, does not exist."""


class ObjectChangedError(Exception):
    """The object has been replaced: its eTag differs."""


class ObjectTooLargeError(Exception):
    """The object is larger than the caller accepts."""


Result = Outcome | Reading | StoreError | RefusedObjectError


class Queue(Protocol):
    """A queue that hides a received message for a time and delivers it again unless it is deleted."""

    def receive(self, wait_seconds: int) -> list[InFlightMessage]:
        """Return some messages, after waiting up to `wait_seconds` for the first. Raise QueueError."""
        ...

    def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete up to ten messages; return the receipts that were not deleted."""
        ...

    def change_visibility(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Hide up to ten messages for `seconds` from now (0: show them); return the receipts for which it failed."""
        ...

    def depth(self) -> dict[str, int]:
        """Return the number of messages by state. Raise QueueError."""
        ...

    def dead_letters(self) -> int | None:
        """Return the number of messages in the dead-letter queue; None without such a queue. Raise QueueError."""
        ...


class Archive(Protocol):
    """A store in which each object is written once."""

    def put(self, upload: Upload) -> Outcome:
        """Write an object unless it exists. Raise StoreError and RefusedObjectError."""
        ...

    def probe(self) -> None:
        """Verify that writing works. Raise StoreError."""
        ...

    def check(self) -> None:
        """Verify that writing works and that objects are not overwritten. Raise StoreError and OverwritesError."""
        ...


class ObjectSource(Protocol):
    """A bucket from which objects are read."""

    def read(self, key: str, *, version: str | None, etag: str | None, max_bytes: int) -> StoredObject:
        """Return an object: this version, else the one with this eTag, else the newest.

        Raise StoreError, ObjectMissingError, ObjectChangedError and ObjectTooLargeError.
        """
        ...

    def probe(self) -> None:
        """Verify that reading works. Raise StoreError."""
        ...


class Intake(Protocol):
    """How messages become records."""

    def open(self, message: InFlightMessage, now: datetime) -> Reading | Download:
        """Return what a message holds, or how to read it from S3. Does no I/O and raises nothing."""
        ...

    def check(self) -> None:
        """Verify what the intake needs for every message. Raise StoreError."""
        ...

    def probe(self) -> None:
        """Verify that the objects of downloads can be read. Raise StoreError."""
        ...
