"""The seams of the lane: what it asks of a queue and of an archive, and how they say that they could not."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from service2_consumer.layouts import NewObject
from service2_consumer.record import Message


class QueueError(Exception):
    """The queue did not do what it was asked, and asking later may help; `cause` is a short code."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class StoreError(Exception):
    """The object is not known to be stored, and trying again may help; `cause` is a metric's label, `code` S3's own."""

    def __init__(self, cause: str, code: str = "") -> None:
        super().__init__(f"{cause} {code}".strip())
        self.cause = cause
        self.code = code


class RefusedObjectError(Exception):
    """The archive will never take this object, whoever asks; the text is its error code."""


class OverwritesError(Exception):
    """The archive overwrites an object instead of refusing to write it twice; the text says what to do."""


class Outcome(Enum):
    """How an object came to be stored."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


Result = Outcome | StoreError | RefusedObjectError


class Queue(Protocol):
    """A queue whose messages stay hidden for a while once received, and come back unless deleted."""

    def receive(self, wait_seconds: int) -> list[Message]:
        """Give some messages, waiting up to `wait_seconds` for the first. Raises QueueError."""
        ...

    def delete(self, receipts: Sequence[str]) -> list[str]:
        """Acknowledge messages; give the receipts that were not deleted."""
        ...

    def change_visibility(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Hide messages for `seconds` from now (0: show them); give the receipts for which it was not done."""
        ...

    def depth(self) -> dict[str, int]:
        """Give how many messages there are, by state. Raises QueueError."""
        ...


class Archive(Protocol):
    """A store in which each object is written once."""

    def put(self, item: NewObject) -> Outcome:
        """Write an object unless it is there. Raises StoreError and RefusedObjectError."""
        ...

    def probe(self) -> None:
        """Prove that writing works. Raises StoreError."""
        ...

    def check(self) -> None:
        """Prove that writing works and that an object is written once. Raises StoreError and OverwritesError."""
        ...
