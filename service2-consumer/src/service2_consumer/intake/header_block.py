"""Header blocks: bytes into raw fields, within bounds (RFC 5322, section 2.2). Pure: no I/O."""

import re
from dataclasses import dataclass

from service2_consumer.intake.defects import Defect, Defects

MAX_FIELDS = 1000

_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:")


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """The fields in order, lower-case name and unfolded raw value, and where the body begins."""

    fields: list[tuple[str, bytes]]
    body_start: int

    def first(self, name: str) -> bytes | None:
        """Return the raw value of the first field with a lower-case name, or None."""
        return next((value for field, value in self.fields if field == name), None)

    def every(self, name: str) -> list[bytes]:
        """Return the raw values of all fields with a lower-case name."""
        return [value for field, value in self.fields if field == name]


def read_headers(content: bytes, start: int, end: int, max_bytes: int, defects: Defects) -> HeaderBlock:
    """Read the header block that begins at `start`, at most `max_bytes` of it and MAX_FIELDS fields.

    A line that can be no field ends the block as an empty line does, and belongs to the body.
    """
    limit = min(end, start + max_bytes)
    fields: list[tuple[str, list[bytes]]] = []
    position = start
    while position < end:
        newline = content.find(b"\n", position, limit)
        next_line = newline + 1 if newline >= 0 else limit
        line = content[position : newline if newline >= 0 else limit].rstrip(b"\r")
        if newline < 0 and limit < end:
            defects.add(Defect.HEADER_TRUNCATED)
            next_line = end = _body_after(content, max(start, limit - 2), end)
        if not line:
            position = next_line
            break
        if line[0] in b" \t" and fields:
            fields[-1][1].append(line)
        elif field := _FIELD.match(line):
            fields.append((field[1].decode("ascii").lower(), [line[field.end() :]]))
        else:
            if fields:
                defects.add(Defect.MISSING_SEPARATOR)
            break
        position = next_line
    if len(fields) > MAX_FIELDS:
        defects.add(Defect.TOO_MANY_HEADERS)
        del fields[MAX_FIELDS:]
    return HeaderBlock([(name, b"".join(lines).strip()) for name, lines in fields], position)


def _body_after(content: bytes, position: int, end: int) -> int:
    """Return where the body begins if the header block goes on past `position`."""
    found = [
        at + len(separator) for separator in (b"\n\r\n", b"\n\n") if (at := content.find(separator, position, end)) >= 0
    ]
    return min(found, default=end)
