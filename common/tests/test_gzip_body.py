"""Gzip bodies: what is inflated, what is refused, and that no body costs more than its limits."""

import contextlib
import gzip
import random
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.gzip_body import MAX_MEMBERS, GzipError, GzipTooLargeError, gunzip

MIB = 1024 * 1024
TEXT = b"An e-mail. " * 5000


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(0, 9))
def test_members_are_inflated_one_after_the_other(parts: list[bytes], level: int) -> None:
    assert gunzip(b"".join(gzip.compress(part, level) for part in parts), 10_000) == b"".join(parts)


def test_content_longer_than_a_piece_is_inflated() -> None:
    content = random.Random(7).randbytes(300_000)  # noqa: S311  # incompressible, and the same in each run
    assert gunzip(gzip.compress(content) + gzip.compress(TEXT), 10 * MIB) == content + TEXT


def test_member_may_have_name_comment_and_extra_fields() -> None:
    head = b"\x1f\x8b\x08" + bytes([0x1C]) + b"\0" * 6 + b"\x04\0abcd" + b"name\0" + b"comment\0"
    assert gunzip(head + gzip.compress(b"x")[10:], 10) == b"x"


@pytest.mark.parametrize(("limit", "fits"), [(len(TEXT), True), (len(TEXT) - 1, False), (1, False)])
def test_content_may_have_the_size_of_the_limit(limit: int, fits: bool) -> None:
    raw = gzip.compress(TEXT)
    if fits:
        assert gunzip(raw, limit) == TEXT
    else:
        with pytest.raises(GzipTooLargeError, match=f"inflates to more than {limit} bytes"):
            gunzip(raw, limit)


def test_limit_holds_for_all_members_together() -> None:
    with pytest.raises(GzipTooLargeError):
        gunzip(gzip.compress(b"x" * 60) * 2, 100)


@pytest.mark.parametrize("end", [0, 1, 9, 10, 30, -9, -8, -1])
def test_truncated_gzip_is_refused(end: int) -> None:
    with pytest.raises(GzipError, match="ends early"):
        gunzip(gzip.compress(TEXT)[:end], MIB)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        zlib.compress(TEXT),
        gzip.compress(TEXT) + b"x" * 20,
        gzip.compress(TEXT) + b"\0" * 20,
        gzip.compress(TEXT)[:-8] + b"\0" * 8,
        gzip.compress(TEXT)[:20] + b"\xff" * 40,
    ],
    ids=[
        "json",
        "zlib",
        "text after",
        "zeros after",
        "wrong checksum",
        "damaged",
    ],  # the header of gzip contains the time
)
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(GzipError, match="not valid gzip"):
        gunzip(raw, MIB)


def test_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(bytes(64 * MIB), 9)
    assert len(bomb) < 80_000
    tracemalloc.start()
    with pytest.raises(GzipTooLargeError):
        gunzip(bomb, 2 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


@pytest.mark.parametrize(("count", "fits"), [(MAX_MEMBERS, True), (MAX_MEMBERS + 1, False)])
def test_members_are_limited(count: int, fits: bool) -> None:
    raw = gzip.compress(b"") * count
    if fits:
        assert gunzip(raw, MIB) == b""
    else:
        with pytest.raises(GzipTooLargeError, match=f"more than {MAX_MEMBERS} gzip members"):
            gunzip(raw, MIB)


@pytest.mark.parametrize(
    ("content", "members"), [(0, 110_000), (40 * MIB, 50)], ids=["many members", "a bomb in each member"]
)
def test_two_mebibytes_of_the_worst_take_little_cpu(content: int, members: int) -> None:
    """Tens of milliseconds on an idle machine."""
    raw = (gzip.compress(bytes(content), 9) * members)[: 2 * MIB]
    began = time.process_time()
    with pytest.raises(GzipTooLargeError):
        gunzip(raw, 16 * MIB)
    assert time.process_time() - began < 5


@given(st.binary(max_size=400), st.integers(0, 400))
def test_damaged_gzip_raises_a_documented_error_or_inflates(noise: bytes, place: int) -> None:
    raw = bytearray(gzip.compress(TEXT))
    raw[place : place + len(noise)] = noise
    with contextlib.suppress(GzipError, GzipTooLargeError):
        gunzip(bytes(raw), MIB)
