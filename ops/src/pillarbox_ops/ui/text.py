"""Text of strangers for a page: escaped, with characters visible that hide or reorder others. Pure: no I/O."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from typing import Any

from markupsafe import Markup, escape

# Control characters, bidirectional controls (https://www.unicode.org/reports/tr9/), what has no width, line separators,
# surrogates and tag characters. The joiners U+200C and U+200D stay: scripts and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_NAMED = re.compile(r'\s*"?([^"<>]*[^"<>\s])"?\s*<([^<>]+)>\s*')
_SNIPPET = 160
_MAX_SHOWN = 200_000  # characters; the download has them all
_ACTIVE = re.compile(
    r"<(?=/?(?:a|area|base|embed|fencedframe|frame|frameset|iframe|link|meta|object)\b)", re.IGNORECASE
)
_LOOK_OF_LINKS = "<style>x-a { color: #0b57d0; text-decoration: underline }</style>"


def visible(text: object, limit: int = _MAX_SHOWN) -> Markup:
    """Return text escaped for HTML; a hidden character is marked and shown as its code, such as `\\u202e`."""
    shown = str(text)
    parts: list[str] = []
    end = 0
    for found in _HIDDEN.finditer(shown[:limit]):
        if found[0] == "\r" and shown[found.end() : found.end() + 1] == "\n":
            continue
        parts += [escape(shown[end : found.start()]), _marked(found[0])]
        end = found.end()
    parts.append(escape(shown[end:limit]))
    if len(shown) > limit:
        parts.append(Markup('<span class="ctl">…</span>'))
    return Markup("").join(parts)


def line(text: object, limit: int = 300) -> Markup:
    """Return text for one line: white space of any kind becomes single spaces."""
    return visible(re.sub(r"[ \t\r\n]+", " ", str(text)[: 4 * limit]).strip(), limit)


def plain(text: object, limit: int) -> str:
    """Return text for one line where tags have no meaning, as in a title. It is not escaped."""
    shown = re.sub(r"[ \t\r\n]+", " ", str(text)[: 4 * limit]).strip()
    return _HIDDEN.sub(lambda found: _code(found[0]), shown[:limit]) + ("…" if len(shown) > limit else "")


def snippet(text: str) -> Markup:
    """Return the beginning of a content for a list; of HTML, the words without the tags."""
    start = text[: 8 * _SNIPPET]
    if start.lstrip().startswith("<"):
        start = unescape(re.sub(r"(?is)<(style|script|head)\b.*?(</\1>|$)|<[^>]*(>|$)", " ", start))
    return line(start, _SNIPPET)


def who(sender: str) -> tuple[str, str]:
    """Return the name and the address of a sender; the address alone, or any other text, is the name."""
    found = _NAMED.fullmatch(sender[:1000])
    return (found[1], found[2]) if found else (sender, "")


def pretty(record: Mapping[str, Any]) -> str:
    """Return a record as indented JSON."""
    return json.dumps(record, ensure_ascii=False, indent=2)


def size(count: int) -> str:
    """Return a number of bytes, such as `512 B` or `1.4 MiB`."""
    if count < 1024:
        return f"{count} B"
    kib = count / 1024
    return f"{kib:.1f} KiB" if kib < 1024 else f"{kib / 1024:.1f} MiB"


def count(number: int) -> str:
    """Return a number with a comma after each three digits."""
    return f"{number:,}"


def stamp(timestamp: datetime) -> str:
    """Return a time in UTC such as `2026-12-01 14:30:05`."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def age(seconds: float) -> str:
    """Return how long ago, such as `12 s`, `5 min`, `3 h` or `2 d`."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds // unit))} {name}"
    return f"{int(seconds // 86_400)} d"


def plural(number: int, one: str, many: str = "") -> str:
    """Return a count with its word, such as `1 e-mail` or `2 e-mails`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def harmless(html: str) -> str:
    """Return the HTML of an e-mail in which links, frames and meta data are unknown tags; links keep their look.

    The policy of the page blocks scripts and loads. It does not block the connections of `<link rel=preconnect>`
    (https://www.w3.org/TR/resource-hints/), nor those that Chromium makes for a frame or a pressed link before the
    policy stops the navigation.
    """
    return _ACTIVE.sub("<x-", html.replace("\x00", "")) + _LOOK_OF_LINKS


def _marked(character: str) -> Markup:
    return Markup('<span class="ctl" title="U+{:04X}">{}</span>').format(ord(character), _code(character))


def _code(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
