"""Search conditions: those of the options of `find`, and the words of the page such as `from:`. Pure: no I/O."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from pillarbox_ops.layout import Span, time_in
from pillarbox_ops.records import ArchivedEmail

DEFAULT_DAYS = 7
WORDS = ("from", "subject", "id", "after", "before", "larger", "smaller")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # no id is earlier
_AHEAD = timedelta(days=1)  # an id may be a little ahead of this clock
_RELATIVE = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"(\d{1,12})\s*([km]?)(?:i?b)?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1024, "m": 1024 * 1024}
# A word of the page: a name with a value that may be in quotes, a quoted text, or plain text.
_TOKEN = re.compile(r'(?:(\w+):)?(?:"([^"]*)"|(\S+))')


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that all must hold. Texts are compared without regard to case; a tuple needs each of its texts.

    Sizes are in bytes of the record. Without `after` it begins seven days back. Times are compared with the time of the
    id, which the archive's keys follow too; with the time of receipt only for an id without a time.
    """

    sender: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    message_id: str = ""
    after: datetime | None = None
    before: datetime | None = None
    larger: int | None = None
    smaller: int | None = None

    def span(self, now: datetime) -> Span:
        """Return the span of time to look in: it ends a day after `now` at the latest, where nothing can lie yet.

        Without `after` it begins seven days before `before` or `now`. Raise ValueError if it would be empty.
        """
        end = min(self.before or now + _AHEAD, now + _AHEAD)
        start = max(self.after or min(now, max(end, _EPOCH)) - timedelta(days=DEFAULT_DAYS), _EPOCH)
        if start >= end:
            raise ValueError(
                f"the range from after ({_shown(start)}) to before ({_shown(end)}) is empty: "
                "after must be the earlier one, and before is at most one day ahead"
            )
        return Span(start, end)

    def within(self, span: Span) -> Self:
        """Return the query with the times of a span."""
        return replace(self, after=span.start, before=span.end)

    def matches(self, email: ArchivedEmail) -> bool:
        """Return whether an e-mail meets the conditions. `text` looks at subject, sender and content."""
        if self.message_id and email.message_id != self.message_id.lower():
            return False
        if self.larger is not None and email.size <= self.larger:
            return False
        if self.smaller is not None and email.size >= self.smaller:
            return False
        timestamp = time_in(email.message_id) or email.received_at
        if (self.after and timestamp < self.after) or (self.before and timestamp >= self.before):
            return False
        sender, subject = email.sender.casefold(), email.subject.casefold()
        if not (_has(sender, self.sender) and _has(subject, self.subject)):
            return False
        return not self.text or _has(f"{subject}\n{sender}\n{email.content.casefold()}", self.text)


def parse_words(words: str, now: datetime) -> Query:
    """Return the query of a search field such as `from:jane subject:"no invoice" after:2d invoice`.

    Raise ValueError, whose text names the word.
    """
    query = Query()
    for name, quoted, plain in _TOKEN.findall(words):
        value = quoted or plain
        match name.lower():
            case "from":
                query = replace(query, sender=(*query.sender, value))
            case "subject":
                query = replace(query, subject=(*query.subject, value))
            case "id":
                query = replace(query, message_id=value)
            case "after":
                query = replace(query, after=parse_time(value, now))
            case "before":
                query = replace(query, before=parse_time(value, now))
            case "larger":
                query = replace(query, larger=parse_size(value))
            case "smaller":
                query = replace(query, smaller=parse_size(value))
            case "":
                query = replace(query, text=(*query.text, value))
            case _:
                raise ValueError(f"{name}: is not a search word; there are {', '.join(f'{w}:' for w in WORDS)}")
    return query


def parse_time(text: str, now: datetime) -> datetime:
    """Return the time of `2026-12-01`, `2026-12-01T14:30`, with a zone or in UTC, or of `2h`: so long before now.

    Raise ValueError.
    """
    relative = _RELATIVE.fullmatch(text.strip().lower())
    try:
        if relative:
            return now - timedelta(seconds=int(relative[1]) * _SECONDS[relative[2]])
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a time such as 2026-12-01, 2026-12-01T14:30Z or 2h, got {text!r}") from None


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `500`, `10k` or `2MiB`. Raise ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"expected a size such as 500, 10k or 2M, got {text!r}")
    return int(found[1]) * _FACTORS[found[2].lower()]


def _shown(timestamp: datetime) -> str:
    return f"{timestamp:%Y-%m-%dT%H:%M:%SZ}"


def _has(text: str, wanted: tuple[str, ...]) -> bool:
    return all(part.casefold() in text for part in wanted)
