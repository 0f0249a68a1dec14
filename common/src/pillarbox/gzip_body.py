"""Inflates gzip bodies of untrusted senders within limits. Pure: no I/O."""

import zlib

MAX_MEMBERS = 1000  # each has a cost of its own, however short it is
_PIECE_BYTES = 16 * 1024  # zlib copies the rest of a piece at the end of each member


class GzipError(ValueError):
    """Bytes that are not whole gzip members; the text says why and quotes nothing."""


class GzipTooLargeError(ValueError):
    """A body beyond a limit, of its content or of its members; the text names the limit."""


def gunzip(raw: bytes, max_bytes: int) -> bytes:
    """Return the content of a gzip file (RFC 1952) of one or more members, of up to `max_bytes` bytes.

    It inflates one byte past the limit at most. Raise GzipTooLargeError, and GzipError for anything but whole members:
    bytes after the last one are an error, zeros included.
    """
    parts: list[bytes] = []
    size = members = 0
    inflater = None
    try:
        for start in range(0, len(raw), _PIECE_BYTES):
            piece = raw[start : start + _PIECE_BYTES]
            while piece:
                if inflater is None:
                    members += 1
                    if members > MAX_MEMBERS:
                        raise GzipTooLargeError(f"has more than {MAX_MEMBERS} gzip members")
                    inflater = zlib.decompressobj(wbits=31)
                parts.append(inflater.decompress(piece, max_bytes - size + 1))
                size += len(parts[-1])
                if size > max_bytes:
                    raise GzipTooLargeError(f"inflates to more than {max_bytes} bytes")
                piece = inflater.unused_data  # empty before the end of the member
                if inflater.eof:
                    inflater = None
    except zlib.error:
        raise GzipError("is not valid gzip, or has bytes after its end") from None
    if inflater or not members:
        raise GzipError("is gzip that ends early")
    return b"".join(parts)
