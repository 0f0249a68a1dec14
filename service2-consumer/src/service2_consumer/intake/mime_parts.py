"""The leaves of a MIME message, found by their boundaries (RFC 2046, section 5.1). Pure: no I/O.

One pass over the lines that begin with two hyphens; nothing is decoded or copied. The number of parts, their depth
and the bytes of their headers are bounded, so the time is linear in the message's size, whatever it contains.
"""

import re
from dataclasses import dataclass

from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.header_block import HeaderBlock, read_headers
from service2_consumer.intake.header_text import decode_header, parse_parameters

MAX_PARTS = 1000
MAX_DEPTH = 100
MAX_PART_HEADER_BYTES = 16 * 1024
MAX_PART_HEADERS_BYTES = 1024 * 1024  # of all parts together
MAX_BOUNDARY_LENGTH = 200  # RFC 2046 allows 70
MAX_HYPHEN_LINES = 500_000  # lines that begin like a delimiter
MAX_FILE_NAME_LENGTH = 255

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_MAX_DELIMITER_LENGTH = MAX_BOUNDARY_LENGTH + 80  # a closing pair of hyphens and white space may follow


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part without parts: what its header says, and where its encoded body is in the message."""

    media_type: str
    charset: str
    encoding: str
    file_name: str
    is_attachment: bool
    start: int
    end: int

    @property
    def is_text(self) -> bool:
        """Return whether the part may be the text of the e-mail."""
        return self.media_type in ("text/plain", "text/html") and not self.is_attachment


def find_leaves(content: bytes, headers: HeaderBlock, defects: Defects) -> list[Leaf]:
    """Return the leaves of the message with this header, in order, from at most MAX_PARTS parts."""
    return _Search(content, defects).leaves(headers)


@dataclass(slots=True)
class _Part:
    """A part that was begun and not ended yet; a multipart has a boundary."""

    headers: HeaderBlock
    media_type: str
    parameters: dict[str, str]
    boundary: bytes = b""
    has_parts: bool = False


@dataclass(frozen=True, slots=True)
class _Delimiter:
    """A line that begins a part of the multipart at `level`, or closes it; `body` is where the next line begins."""

    start: int
    body: int
    level: int
    closes: bool


class _Search:
    def __init__(self, content: bytes, defects: Defects) -> None:
        self._content = content
        self._defects = defects
        self._leaves: list[Leaf] = []
        self._multiparts: list[_Part] = []  # from the outermost to the innermost
        self._leaf: _Part | None = None
        self._hyphen_lines = 0

    def leaves(self, headers: HeaderBlock) -> list[Leaf]:
        self._begin(headers, "text/plain")
        position, parts, header_bytes = headers.body_start, 0, 0
        while self._multiparts and (delimiter := self._next_delimiter(position, len(self._content))):
            self._end_leaf(self._before(delimiter.start))
            self._end_multiparts(delimiter.level + 1, self._before(delimiter.start))
            self._multiparts[-1].has_parts = True
            position = delimiter.body
            if delimiter.closes:
                self._multiparts.pop()
                continue
            parts += 1
            if parts > MAX_PARTS or header_bytes > MAX_PART_HEADERS_BYTES:
                self._defects.add(Defect.TOO_MANY_PARTS)
                return self._leaves
            part = self._part_headers(position)
            header_bytes += part.body_start - position
            is_digest = self._multiparts[-1].media_type == "multipart/digest"
            self._begin(part, "message/rfc822" if is_digest else "text/plain")
            position = part.body_start
        if any(part.has_parts for part in self._multiparts):
            self._defects.add(Defect.MISSING_END_BOUNDARY)
        self._end_leaf(len(self._content))
        self._end_multiparts(0, len(self._content))
        return self._leaves

    def _part_headers(self, position: int) -> HeaderBlock:
        """Read the header that begins at `position`; the next delimiter ends it, where the empty line is missing."""
        end = min(len(self._content), position + 2 * MAX_PART_HEADER_BYTES)
        following = self._next_delimiter(position, end)
        end = self._before(following.start) if following else end
        return read_headers(self._content, position, max(position, end), MAX_PART_HEADER_BYTES, self._defects)

    def _next_delimiter(self, position: int, end: int) -> _Delimiter | None:
        """Return the next delimiter of an open multipart from a line's beginning on, or None."""
        levels = {part.boundary: level for level, part in enumerate(self._multiparts)}
        start = position if self._content.startswith(b"--", position, end) else self._next_hyphens(position - 1, end)
        while start:
            newline = self._content.find(b"\n", start, min(end, start + _MAX_DELIMITER_LENGTH))
            is_last = newline < 0 and end - start <= _MAX_DELIMITER_LENGTH
            if newline >= 0 or is_last:
                text = self._content[start + 2 : end if is_last else newline].rstrip(b" \t\r")
                closes = text not in levels and text.endswith(b"--")
                level = levels.get(text[:-2] if closes else text)
                if level is not None:
                    return _Delimiter(start, end if is_last else newline + 1, level, closes)
            self._hyphen_lines += 1
            if self._hyphen_lines > MAX_HYPHEN_LINES:
                self._defects.add(Defect.TOO_MANY_PARTS)
                return None
            start = self._next_hyphens(start, end)
        return None

    def _next_hyphens(self, position: int, end: int) -> int:
        """Return where the next line after `position` begins that begins with two hyphens, or 0."""
        return self._content.find(b"\n--", max(0, position), end) + 1

    def _begin(self, headers: HeaderBlock, default_type: str) -> None:
        part = _Part(headers, *self._media_type(headers, default_type))
        if part.media_type.startswith("multipart/"):
            boundary = part.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
            if len(self._multiparts) >= MAX_DEPTH:
                self._defects.add(Defect.NESTED_TOO_DEEP)
            elif 0 < len(boundary) <= MAX_BOUNDARY_LENGTH:
                part.boundary = boundary
                self._multiparts.append(part)
                return
            else:
                self._defects.add(Defect.MISSING_BOUNDARY)
                part.media_type = "text/plain"
        self._leaf = part

    def _end_leaf(self, end: int) -> None:
        if self._leaf:
            self._leaves.append(self._leaf_of(self._leaf, end))
            self._leaf = None

    def _end_multiparts(self, level: int, end: int) -> None:
        """End the multiparts from a level on that were not closed; one without parts is text."""
        while len(self._multiparts) > level:
            part = self._multiparts.pop()
            self._defects.add(Defect.MISSING_END_BOUNDARY if part.has_parts else Defect.MISSING_BOUNDARY)
            if not part.has_parts:
                part.media_type = "text/plain"
                self._leaves.append(self._leaf_of(part, end))

    def _media_type(self, headers: HeaderBlock, default_type: str) -> tuple[str, dict[str, str]]:
        raw = headers.first("content-type")
        if raw is None:
            return default_type, {}
        media_type, parameters = parse_parameters(raw, self._defects)
        if _MEDIA_TYPE.fullmatch(media_type):
            return media_type, parameters
        self._defects.add(Defect.INVALID_CONTENT_TYPE)
        return "text/plain", parameters

    def _leaf_of(self, part: _Part, end: int) -> Leaf:
        headers = part.headers
        encoding, _ = parse_parameters(headers.first("content-transfer-encoding") or b"", self._defects)
        disposition, named = parse_parameters(headers.first("content-disposition") or b"", self._defects)
        name = named.get("filename") or part.parameters.get("name") or ""
        return Leaf(
            media_type=part.media_type,
            charset=part.parameters.get("charset", ""),
            encoding=encoding,
            file_name=decode_header(name.encode("utf-8", "replace"), self._defects)[:MAX_FILE_NAME_LENGTH],
            is_attachment=disposition == "attachment",
            start=headers.body_start,
            end=max(headers.body_start, end),
        )

    def _before(self, delimiter: int) -> int:
        """Return the end of what stands before a delimiter: the line break between them belongs to the delimiter."""
        end = delimiter - 1
        return end - 1 if self._content[end - 1 : end] == b"\r" else end
