"""Search through the archive, the newest e-mails first, a part of it at a time so that a page comes within seconds."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pillarbox.ids import parse_message_id
from pillarbox_ops.layout import BATCH_SUFFIX, Span
from pillarbox_ops.search import Query
from pillarbox_ops.ui.days import Entry, span_of
from pillarbox_ops.ui.emails import PAGE, Emails, Row

_SECONDS = 5.0
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that match, newest first; how many objects were read, and the time before which nothing was looked at yet.

    Without `rest` all of the span was looked at.
    """

    rows: list[Row]
    looked_at: int
    rest: datetime | None


def find(
    emails: Emails, query: Query, now: datetime, before: datetime | None, clock: Callable[[], float] = time.monotonic
) -> Found:
    """Return the first matches before a time: a page of them, or those of the chunks that were begun in time."""
    if query.message_id:
        return _by_id(emails, query)
    span = query.span(now)
    span = Span(span.start, min(span.end, before or span.end))
    rows: list[Row] = []
    looked_at, until = 0, clock() + _SECONDS
    for latest, chunk in _chunks(emails, span):
        if (chunk and len(rows) >= PAGE) or clock() > until:
            return Found(rows, looked_at, latest + timedelta(milliseconds=1))
        for read in emails.reader.rows([entry.stored for entry in chunk]):
            rows += [row for row in reversed(read) if row.email and query.matches(row.email)]
        looked_at += len(chunk)
    return Found(rows, looked_at, None)


def _by_id(emails: Emails, query: Query) -> Found:
    """Return the e-mail of an id, whose time says where it lies; the other conditions must hold too."""
    try:
        email = emails.archive.find(parse_message_id(query.message_id))
    except ValueError:
        raise ValueError(f"id: expected a message id of 36 characters, got {query.message_id[:60]!r}") from None
    row = emails.at(email.key, email.message_id) if email else None
    matches = row and row.email and query.matches(row.email)
    return Found([row] if row and matches else [], 1 if row else 0, None)


def _chunks(emails: Emails, span: Span) -> Iterator[tuple[datetime, list[Entry]]]:
    """Yield the entries of a span in groups with the time of their latest one, newest first; an empty day is a group.

    Entries of equal time are never divided.
    """
    day = (span.end - timedelta(microseconds=1)).astimezone(UTC).date()
    while span_of(day).end > span.start:
        chunk: list[Entry] = []
        for entry in reversed(emails.entries(day)):
            if entry.place[0] >= span.end or (entry.place[0] < span.start and not entry.key.endswith(BATCH_SUFFIX)):
                continue  # a batch before the span may hold e-mails of the span; they are compared one by one
            if len(chunk) >= _CHUNK and entry.place[0] != chunk[-1].place[0]:
                yield chunk[0].place[0], chunk
                chunk = []
            chunk.append(entry)
        yield chunk[0].place[0] if chunk else span_of(day).start, chunk
        day -= timedelta(days=1)
