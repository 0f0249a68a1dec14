"""The objects of one day, oldest first, kept up to date with one LIST call in place of one for each 1,000 objects."""

import threading
import time
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pillarbox_ops.archive import Archive
from pillarbox_ops.layout import Span
from pillarbox_ops.records import StoredObject

_OVERLAP = 500  # keys that each update lists again: an e-mail that was stored late sorts before the newest ones
_COMPLETE_SECONDS = 60  # after this an update lists everything, for keys that sort even earlier
_DUTY = 20  # a complete listing that takes long is repeated after so many times its duration
_PAUSE_SECONDS = 1.0  # several open pages share one update
_HOT_PREFIXES = 2  # with more, as with {shard} in the template, only complete listings are made
_DAYS = 16
_PARALLEL = 16

_Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """An object of a day, in the order of its time and key."""

    place: _Place
    stored: StoredObject

    @property
    def key(self) -> str:
        """Return the object's key."""
        return self.stored.key


def span_of(day: date) -> Span:
    """Return the 24 hours of a day in UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Span(start, start + timedelta(days=1))


class Day:
    """The objects of one day, listed at the first look. Safe to use from several threads."""

    def __init__(self, archive: Archive, day: date, clock: Callable[[], float] = time.monotonic) -> None:
        self.span = span_of(day)
        self._archive = archive
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._keys: dict[str, list[str]] = {}  # by prefix, in the order of S3
        self._known: dict[str, Entry] = {}
        self._updated_at = self._complete_until = -1e9

    def entries(self, now: datetime) -> list[Entry]:
        """Return the entries as they are at `now`, oldest first. Do not change the list."""
        with self._lock:
            began = self._clock()
            if began >= self._complete_until:
                self._list_all()
                self._updated_at = self._clock()
                self._complete_until = self._updated_at + max(_COMPLETE_SECONDS, _DUTY * (self._updated_at - began))
            elif began - self._updated_at >= _PAUSE_SECONDS:
                self._list_new(now)
                self._updated_at = self._clock()
            return self._entries

    def _list_all(self) -> None:
        prefixes = list(self._archive.layout.prefixes(self.span))
        with ThreadPoolExecutor(min(_PARALLEL, len(prefixes))) as pool:
            listed = list(pool.map(lambda prefix: list(self._archive.below(prefix)), prefixes))
        self._keys = {
            prefix: [found.key for found in objects] for prefix, objects in zip(prefixes, listed, strict=True)
        }
        self._known = {entry.key: entry for objects in listed for entry in self._new_entries(objects, anew=True)}
        self._entries = sorted(self._known.values())

    def _list_new(self, now: datetime) -> None:
        """List what may have come: the ends of the prefixes that ids of the last minutes lead to."""
        layout = self._archive.layout
        recent = Span(now - timedelta(minutes=10), now + timedelta(minutes=6))
        hot = [prefix for prefix in layout.prefixes(recent) if prefix in self._keys]
        if layout.keys.depends_on_sender or len(hot) > _HOT_PREFIXES:
            return
        for prefix in hot:
            keys = self._keys[prefix]
            after = keys[-_OVERLAP] if len(keys) >= _OVERLAP else ""
            listed = list(self._archive.below(prefix, after=after))
            if listed:
                del keys[bisect_left(keys, listed[0].key) :]
                keys.extend(found.key for found in listed)
            fresh = self._new_entries(listed)
            if fresh:
                entries = list(self._entries)  # a reader may hold the old one
                for entry in fresh:
                    insort(entries, entry)
                self._known |= {entry.key: entry for entry in fresh}
                self._entries = entries

    def _new_entries(self, objects: Iterable[StoredObject], *, anew: bool = False) -> list[Entry]:
        """Return the entries of objects that belong to this day; only those that are not known yet unless `anew`."""
        found = []
        for stored in objects:
            known = self._known.get(stored.key)
            if known and anew:
                found.append(known)
            elif not known:
                timestamp = self._archive.layout.placed_at(stored.key, stored.modified_at)
                if timestamp in self.span:
                    found.append(Entry((timestamp, stored.key), stored))
        return found


class Days:
    """The days that were looked at, the latest ones kept."""

    def __init__(self, archive: Archive, clock: Callable[[], float] = time.monotonic) -> None:
        self.archive = archive
        self._clock = clock
        self._lock = threading.Lock()
        self._days: OrderedDict[date, Day] = OrderedDict()

    def day(self, day: date) -> Day:
        """Return a day."""
        with self._lock:
            found = self._days.get(day) or Day(self.archive, day, self._clock)
            self._days[day] = found
            self._days.move_to_end(day)
            if len(self._days) > _DAYS:
                self._days.popitem(last=False)
            return found

    def nearest(self, day: date, step: int, limit: int) -> date | None:
        """Return the nearest day after (`step` 1) or before (-1) a day that has an object, within `limit` days."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for begin in range(1, limit + 1, _PARALLEL):
                days = [
                    day + timedelta(days=step * number) for number in range(begin, min(begin + _PARALLEL, limit + 1))
                ]
                for candidate, has_any in zip(days, pool.map(self._has_any, days), strict=True):
                    if has_any:
                        return candidate
        return None

    def _has_any(self, day: date) -> bool:
        span, layout = span_of(day), self.archive.layout
        return any(layout.placed_at(found.key, found.modified_at) in span for found in self.archive.objects(span))
