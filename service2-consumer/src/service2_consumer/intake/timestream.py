"""The time of an e-mail from its header (RFC 5322, section 3.3; obsolete forms included). Pure: no I/O, no clock."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from pillarbox.message import EARLIEST_TIMESTAMP, END_OF_TIMESTAMPS
from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.header_block import HeaderBlock
from service2_consumer.intake.header_text import decode_header

MAX_DATE_BYTES = 200
MAX_RECEIVED_FIELDS = 20


def timestream_of(headers: HeaderBlock, last_modified: datetime, defects: Defects) -> tuple[int, str]:
    """Return the Unix time of an e-mail in seconds, and its source: `date`, `received` or `last_modified`.

    The first source with a time from 2000 to 2099 counts. The newest Received field is the first one (RFC 5321,
    section 4.4).
    """
    date = headers.first("date")
    if date is None:
        defects.add(Defect.MISSING_DATE)
    else:
        seconds = _seconds(date)
        if seconds is not None:
            return seconds, "date"
        defects.add(Defect.INVALID_DATE)
    for received in headers.every("received")[:MAX_RECEIVED_FIELDS]:
        seconds = _seconds(received.rpartition(b";")[2])
        if seconds is not None:
            return seconds, "received"
    stored = int(last_modified.timestamp())
    return min(max(stored, EARLIEST_TIMESTAMP), END_OF_TIMESTAMPS - 1), "last_modified"


def _seconds(raw: bytes) -> int | None:
    """Return the Unix time of a date, or None if there is none or it is out of bounds; no zone means UTC."""
    if len(raw) > MAX_DATE_BYTES:
        return None
    try:
        parsed = parsedate_tz(decode_header(raw, set()))
        if parsed is None:
            return None
        year, month, day, hour, minute, second = parsed[:6]
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)  # 60 is a leap second
        seconds = int((at - timedelta(seconds=parsed[9] or 0)).timestamp())
    except (ArithmeticError, IndexError, TypeError, ValueError):  # parsedate_tz raises what its input makes it
        return None
    return seconds if EARLIEST_TIMESTAMP <= seconds < END_OF_TIMESTAMPS else None
