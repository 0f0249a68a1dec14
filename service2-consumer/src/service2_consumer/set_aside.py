"""Objects that fail while S3 works: separated from a lane's cycle, each with its own back-off.

Pure: no I/O, time is passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.backoff import Backoff
from service2_consumer.model import Transfer

# A lane receives nothing while either limit is reached. The last receive may exceed both, by ten e-mails.
MAX_OBJECTS = 10
MAX_BYTES = 4 * 1024 * 1024

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0


@dataclass(slots=True)
class SetAsideTransfer:
    """One object set aside; `faults` counts the failed retries that are the object's own fault."""

    transfer: Transfer
    backoff: Backoff
    due_seconds: float
    succeeded_before: int
    faults: int = 0


class SetAside:
    """The objects that one lane has set aside, sorted by the time of their next attempt."""

    def __init__(self) -> None:
        self._items: list[SetAsideTransfer] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def messages(self) -> int:
        """Return the number of messages of these objects."""
        return sum(len(item.transfer.messages) for item in self._items)

    @property
    def full(self) -> bool:
        """Return whether there is no room for the messages of another receive."""
        size_bytes = sum(item.transfer.held_bytes for item in self._items)
        return len(self._items) >= MAX_OBJECTS or size_bytes >= MAX_BYTES

    def add(self, transfers: Sequence[Transfer], now_seconds: float, succeeded_before: int) -> None:
        """Set objects aside; `succeeded_before` is the number of such transfers that the lane has completed so far."""
        for transfer in transfers:
            backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            self.put_back(
                SetAsideTransfer(transfer, backoff, now_seconds, succeeded_before), now_seconds, succeeded_before
            )

    def put_back(self, item: SetAsideTransfer, now_seconds: float, succeeded_before: int) -> None:
        """Schedule the next attempt of an object that failed."""
        item.due_seconds = now_seconds + item.backoff.next_seconds()
        item.succeeded_before = succeeded_before
        self._items.append(item)
        self._items.sort(key=lambda other: other.due_seconds)

    def take_due(self, now_seconds: float, limit: int) -> list[SetAsideTransfer]:
        """Remove and return the objects that are due, at most `limit`, those due longest first."""
        due = [item for item in self._items if item.due_seconds <= now_seconds][:limit]
        self._items = self._items[len(due) :]
        return due

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Return the time until the next object is due; None without objects."""
        return max(0.0, self._items[0].due_seconds - now_seconds) if self._items else None

    def clear(self) -> None:
        """Forget all objects; the caller releases their messages."""
        self._items.clear()
