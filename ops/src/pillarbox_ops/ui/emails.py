"""E-mails as the page shows them: 50 rows from a place on, in either direction, read in parallel and cached by key."""

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pillarbox_ops.archive import Archive
from pillarbox_ops.errors import OpsError
from pillarbox_ops.layout import BATCH_SUFFIX, time_in
from pillarbox_ops.records import ArchivedEmail, StoredObject
from pillarbox_ops.ui.days import Days, Entry

PAGE = 50
_PARALLEL = 16
_CACHE_BYTES = 64 * 1024 * 1024  # of records; Python needs a few times as much


@dataclass(frozen=True, slots=True)
class Row:
    """One e-mail of a list; `number` counts the records of its object. Without an e-mail `problem` says why."""

    stored: StoredObject
    number: int
    email: ArchivedEmail | None
    problem: str = ""


class Reader:
    """Reads objects. They are written once, so a cached one is never stale."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="read")
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, list[Row]] = OrderedDict()
        self._bytes = 0

    def rows(self, objects: Sequence[StoredObject]) -> list[list[Row]]:
        """Return the rows of each object; an object that cannot be read has one row with its problem."""
        return list(self._pool.map(self._rows, objects))

    def _rows(self, stored: StoredObject) -> list[Row]:
        with self._lock:
            if cached := self._cache.get(stored.key):
                self._cache.move_to_end(stored.key)
                return cached
        try:
            rows = [Row(stored, number, email) for number, email in enumerate(self._archive.read(stored))]
        except OpsError as exc:
            return [Row(stored, 0, None, str(exc))]  # not cached: the store may answer again
        with self._lock:
            if stored.key not in self._cache:
                self._bytes += _size(rows)
            self._cache[stored.key] = rows
            while self._bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._bytes -= _size(self._cache.popitem(last=False)[1])
        return rows


def _size(rows: list[Row]) -> int:
    return sum(row.email.size for row in rows if row.email)


class Emails:
    """The archive, day by day."""

    def __init__(self, archive: Archive, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.archive = archive
        self.days = Days(archive)
        self.reader = Reader(archive)
        self._now = now

    def entries(self, day: date) -> list[Entry]:
        """Return the objects of a day, oldest first."""
        return self.days.day(day).entries(self._now())

    def older(self, day: date, key: str = "", number: int = 0, limit: int = PAGE) -> list[Row]:
        """Return rows of a day, newest first: those before a row, or the newest ones without a key."""
        entries = self.entries(day)
        end = _position(entries, key, bisect_right) if key else len(entries)
        return self._walk(entries[:end][::-1], limit, lambda row: row.stored.key != key or row.number < number)

    def newer(self, day: date, key: str, number: int = 0, limit: int = PAGE) -> list[Row]:
        """Return the rows of a day that follow a row, newest first."""
        entries = self.entries(day)
        start = _position(entries, key, bisect_left)
        rows = self._walk(
            entries[start:], limit, lambda row: row.stored.key != key or row.number > number, newest_first=False
        )
        return rows[::-1]

    def at(self, key: str, message_id: str = "") -> Row | None:
        """Return the row of a key, and of an id in it if the object holds many. None if there is none."""
        for stored in self.archive.below(key):
            if stored.key == key:
                (rows,) = self.reader.rows([stored])
                return next((row for row in rows if not row.email or row.email.message_id == message_id), None) or (
                    rows[0] if not message_id and rows else None
                )
        return None

    def day_of(self, row: Row) -> date:
        """Return the day under which a row is listed."""
        return self.archive.layout.placed_at(row.stored.key, row.stored.modified_at).astimezone(UTC).date()

    def _walk(
        self, entries: Sequence[Entry], limit: int, wanted: Callable[[Row], bool], *, newest_first: bool = True
    ) -> list[Row]:
        found: list[Row] = []
        for chunk in _chunks(entries, limit):
            for rows in self.reader.rows([entry.stored for entry in chunk]):
                found += filter(wanted, reversed(rows) if newest_first else rows)
            if len(found) >= limit:
                break
        return found[:limit]


def _chunks(entries: Sequence[Entry], size: int) -> Iterator[Sequence[Entry]]:
    """Yield entries in groups to read at once; a batch, which may fill a page alone, is its own group."""
    start = 0
    while start < len(entries):
        end = start + 1
        if not entries[start].key.endswith(BATCH_SUFFIX):
            while end < min(start + size, len(entries)) and not entries[end].key.endswith(BATCH_SUFFIX):
                end += 1
        yield entries[start:end]
        start = end


def _position(entries: list[Entry], key: str, bisect: Callable[..., int]) -> int:
    """Return where a key stands or would stand. It may be gone, or be older than the index."""
    known = next((entry.place for entry in entries if entry.key == key), None)
    timestamp = time_in(key)
    if known is None and timestamp is None:
        return len(entries)
    return bisect(entries, known or (timestamp, key), key=lambda entry: entry.place)
