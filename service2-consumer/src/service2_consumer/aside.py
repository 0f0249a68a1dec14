"""Objects that fail while the store works: kept apart from a lane's cycle, each with a back-off of its own.

Pure: no I/O, time is passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service2_consumer.backoff import Backoff
from service2_consumer.layouts import Parcel

# A lane receives nothing while either limit is reached. The last receive may overshoot both, by ten e-mails.
MAX_OBJECTS = 10
MAX_BYTES = 4 * 1024 * 1024

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0


@dataclass(slots=True)
class Waiting:
    """One object set aside; `faults` counts the retries that failed through its own fault."""

    parcel: Parcel
    backoff: Backoff
    due_seconds: float
    stored_before: int
    faults: int = 0


class SetAside:
    """The objects that one lane has set aside, in the order in which they are due."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def messages(self) -> int:
        """Give how many messages wait with these objects."""
        return sum(len(waiting.parcel.messages) for waiting in self._waiting)

    @property
    def full(self) -> bool:
        """Tell whether there is no room for what another receive may bring."""
        size_bytes = sum(len(waiting.parcel.item.body) for waiting in self._waiting)
        return len(self._waiting) >= MAX_OBJECTS or size_bytes >= MAX_BYTES

    def add(self, parcels: Sequence[Parcel], now_seconds: float, stored_before: int) -> None:
        """Set objects aside; `stored_before` is how many objects the lane has stored by now."""
        for parcel in parcels:
            backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            self._waiting.append(Waiting(parcel, backoff, now_seconds + backoff.next_seconds(), stored_before))
        self._sort()

    def put_back(self, waiting: Waiting, now_seconds: float, stored_before: int) -> None:
        """Let an object that failed again wait for longer."""
        waiting.due_seconds = now_seconds + waiting.backoff.next_seconds()
        waiting.stored_before = stored_before
        self._waiting.append(waiting)
        self._sort()

    def take_due(self, now_seconds: float, most: int) -> list[Waiting]:
        """Hand out the objects that are due, at most `most` of them, the longest due first."""
        due = [waiting for waiting in self._waiting if waiting.due_seconds <= now_seconds][:most]
        self._waiting = self._waiting[len(due) :]
        return due

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Tell when the next object is due; None: none waits."""
        return max(0.0, self._waiting[0].due_seconds - now_seconds) if self._waiting else None

    def clear(self) -> None:
        """Forget all objects: their messages are released."""
        self._waiting.clear()

    def _sort(self) -> None:
        self._waiting.sort(key=lambda waiting: waiting.due_seconds)
