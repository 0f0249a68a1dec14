"""Where the archive's objects lie: the prefixes to list for a time span, and what a key says. Pure: no I/O."""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pillarbox.ids import parse_message_id, time_of
from pillarbox.object_key import KeyTemplate

BATCH_SUFFIX = ".jsonl.gz"
_BATCH_TEMPLATE = "{prefix}{date:%Y/%m/%d/%H}/"  # of service2-consumer with OBJECT_LAYOUT=batch
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_COARSE = re.compile("(?:[^%]|%[^MSf])*")  # of the format of a date: what stays equal for an hour
_HOUR = timedelta(hours=1)
_DIGITS = {"Y": 4, "G": 4, "j": 3, "f": 6, "u": 1}  # of the directives of a date; the others have two


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in UTC: from `start` up to but not including `end`."""

    start: datetime
    end: datetime

    def __contains__(self, timestamp: datetime) -> bool:
        return self.start <= timestamp < self.end


def instant(timestamp: datetime) -> Span:
    """Return the shortest span that contains a time."""
    return Span(timestamp, timestamp + timedelta(milliseconds=1))


class Layout:
    """The prefixes and keys of an archive, for both object layouts of service2-consumer."""

    def __init__(self, template: str, prefix: str) -> None:
        """Raise ValueError if the template is one that the consumer refuses."""
        self.keys = KeyTemplate(template, prefix)
        self.prefix = prefix
        self._head = _head_of(template)
        self._dates = [_dates_of(found, prefix) for found in (template, _BATCH_TEMPLATE)]

    def prefixes(self, span: Span) -> Iterator[str]:
        """Yield the prefixes of the objects of a span, the oldest first, none of them below another one."""
        seen: set[str] = set()
        lengths: set[int] = set()  # few, for most parts of a date have a fixed width
        last = ["", ""]
        hour = span.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while hour < span.end:
            for number, head in enumerate((self._head, _BATCH_TEMPLATE)):
                dated = head.format(prefix=self.prefix, date=hour, shard="")
                if dated == last[number]:
                    continue
                last[number] = dated
                for shard in _shards(head):
                    found = head.format(prefix=self.prefix, date=hour, shard=shard)
                    if not any(found[:length] in seen for length in lengths):
                        seen.add(found)
                        lengths.add(len(found))
                        yield found
            hour += _HOUR

    def keys_of(self, message_id: str) -> tuple[str, ...]:
        """Return the keys that an e-mail's object may have, or none if the id alone does not tell."""
        if self.keys.depends_on_sender:
            return ()
        key = self.keys.key(message_id, time_of(message_id), "")
        return key, f"{key}.gz"

    def batches_of(self, message_id: str) -> str:
        """Return the prefix of the batches that may hold an e-mail: those of the hour of its id."""
        return _BATCH_TEMPLATE.format(prefix=self.prefix, date=time_of(message_id))

    def placed_at(self, key: str, modified_at: datetime) -> datetime:
        """Return the time by which an object is listed: that of its id, else of its write, moved into its key's date.

        The consumer dates the key of a foreign producer's message by its SentTimestamp; the write may follow on another
        day.
        """
        timestamp, span = time_in(key), self._span_in(key)
        if timestamp or span is None:
            return timestamp or modified_at
        return min(max(modified_at, span.start), span.end - timedelta(milliseconds=1))

    def _span_in(self, key: str) -> Span | None:
        """Return the day, or the hour, that a key names; None if its template does not have both year and day."""
        for pattern in self._dates:
            named = found.groupdict() if (found := pattern.match(key)) else {}
            if named.keys() >= {"Y", "m", "d"}:
                try:
                    start = datetime.fromisoformat("{Y}-{m}-{d}T{H}:00Z".format_map({"H": "00"} | named))
                except ValueError:
                    continue
                return Span(start, start + (_HOUR if "H" in named else 24 * _HOUR))
        return None

    @property
    def is_sharded(self) -> bool:
        """Return whether the objects of a day lie below 256 prefixes."""
        return "{shard}" in self._head

    @property
    def date_folders(self) -> int | None:
        """Return how many folders of dates stand between prefix and the rest of a key; None if keys begin otherwise."""
        if not self._head.startswith("{prefix}{date:") or not self._head.endswith("/"):
            return None
        return self._head.count("/")


def id_in(key: str) -> str | None:
    """Return the message id in a key, the last UUID of it; None if it has none."""
    found = _UUID.findall(key)
    return found[-1] if found else None


def time_in(key: str) -> datetime | None:
    """Return the time of the UUIDv7 in a key; None if it has none, as with messages of foreign producers."""
    try:
        return time_of(parse_message_id(id_in(key) or ""))
    except ValueError:
        return None


def _head_of(template: str) -> str:
    """Return a template up to the first field that differs from message to message."""
    head = ""
    for literal, name, spec, _ in string.Formatter().parse(template):
        head += literal
        if name not in ("prefix", "date", "shard"):
            break
        coarse = _COARSE.match(spec or "")
        listed = coarse[0] if coarse else ""
        if listed or not spec:
            head += f"{{{name}:{listed}}}" if listed else f"{{{name}}}"
        if listed != (spec or ""):
            break
    return head


def _dates_of(template: str, prefix: str) -> re.Pattern[str]:
    """Return a pattern for the beginning of keys, up to the last date, with the groups Y, m, d and H."""
    pattern = dated = ""
    for literal, name, spec, _ in string.Formatter().parse(template):
        pattern += re.escape(literal)
        if name == "date":
            for position, part in enumerate(re.split("%(.)", spec or "")):
                is_directive = position % 2 == 1 and part != "%"
                pattern += _directive(part, pattern) if is_directive else re.escape(part)
            dated = pattern
        elif name:
            pattern += re.escape(prefix) if name == "prefix" else ".+?"
    return re.compile(dated)


def _directive(name: str, before: str) -> str:
    digits = _DIGITS.get(name, 2)
    return f"(?P<{name}>[0-9]{{{digits}}})" if name in "YmdH" and f"(?P<{name}>" not in before else f"[0-9]{{{digits}}}"


def _shards(head: str) -> Iterator[str]:
    return (f"{number:02x}" for number in range(256)) if "{shard}" in head else iter(("",))
