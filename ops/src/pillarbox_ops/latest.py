"""The e-mail that was archived last, found with few calls however old or large the archive is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from pillarbox.ids import parse_message_id
from pillarbox_ops.archive import Archive
from pillarbox_ops.errors import OpsError
from pillarbox_ops.layout import BATCH_SUFFIX, id_in
from pillarbox_ops.records import StoredObject

_PAGE = 1000  # what S3 lists at once


@dataclass(frozen=True, slots=True)
class Latest:
    """The last e-mail: its id, when it was stored, its key."""

    message_id: str
    stored_at: datetime
    key: str


def last_archived(archive: Archive) -> Latest | None:
    """Return the e-mail with the latest id; None if the archive is empty.

    It goes from the last year to its last month and day, and in a day of many objects halves the span of time until
    one page is left. Raise OpsError where keys do not begin with the date.
    """
    folders = archive.layout.date_folders
    if folders is None:
        raise OpsError("the last e-mail cannot be found quickly: the keys do not begin with date folders")
    prefix = archive.layout.prefix
    for _ in range(folders):
        dates = [folder for folder in archive.folders(prefix) if folder.isascii() and folder.isdigit()]
        if not dates:
            return None
        prefix += f"{max(dates)}/"
    found = _last_below(archive, prefix)
    if found is None:
        return None
    if found.key.endswith(BATCH_SUFFIX):
        last = max(archive.read(found), key=lambda email: email.message_id)
        return Latest(last.message_id, found.modified_at, found.key)
    return Latest(id_in(found.key) or "", found.modified_at, found.key)


def _last_below(archive: Archive, prefix: str) -> StoredObject | None:
    """Return the object of the latest time below the prefix of a day or an hour."""
    page = list(islice(archive.below(prefix), _PAGE))
    if len(page) < _PAGE:
        return max(page, key=lambda found: found.timestamp, default=None)
    if page[0].key.endswith(BATCH_SUFFIX) and (hours := archive.folders(prefix)):
        return _last_below(archive, f"{prefix}{max(hours)}/")
    if not _is_dated(page[0], prefix):
        raise OpsError("the last e-mail cannot be found quickly: the last day has many objects with unordered keys")
    return _bisected(archive, prefix, page)


def _bisected(archive: Archive, prefix: str, page: list[StoredObject]) -> StoredObject:
    """Return the last of many objects whose keys go on with the id; `page` holds the first of them."""
    low = page[0].timestamp
    high = low + timedelta(days=366)
    while len(page) == _PAGE and high - low > timedelta(milliseconds=1):
        middle = low + (high - low) / 2
        following = islice(archive.below(prefix, after=_after(prefix, middle)), _PAGE)
        later = [found for found in following if _is_dated(found, prefix)]
        if later:
            low, page = middle, later
        else:
            high = middle
    return max(page, key=lambda found: found.timestamp)


def _after(prefix: str, timestamp: datetime) -> str:
    """Return the key that stands before all ids of a time."""
    digits = f"{int(timestamp.astimezone(UTC).timestamp() * 1000):012x}"
    return f"{prefix}{digits[:8]}-{digits[8:]}"


def _is_dated(found: StoredObject, prefix: str) -> bool:
    """Return whether a UUIDv7 follows the prefix; foreign producers have other ids, which are not in order."""
    try:
        parse_message_id(found.key.removeprefix(prefix)[:36])
    except ValueError:
        return False
    return True
