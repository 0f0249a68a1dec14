"""The time of an e-mail: which header counts, and the forms of dates."""

from datetime import UTC, datetime

import pytest

from pillarbox.message import EARLIEST_TIMESTAMP, END_OF_TIMESTAMPS
from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.header_block import read_headers
from service2_consumer.intake.timestream import MAX_RECEIVED_FIELDS, timestream_of

STORED = datetime(2026, 12, 11, tzinfo=UTC)
NOON = int(datetime(2026, 12, 10, 12, 0, 0, tzinfo=UTC).timestamp())


def timestream(header: bytes, stored: datetime = STORED) -> tuple[int, str, Defects]:
    found: Defects = set()
    seconds, source = timestream_of(read_headers(header, 0, len(header), 10_000, found), stored, found)
    return seconds, source, found


@pytest.mark.parametrize(
    "date",
    [
        b"Thu, 10 Dec 2026 12:00:00 +0000",
        b"Thu, 10 Dec 2026 14:00:00 +0200",
        b"10 Dec 2026 07:00:00 -0500 (EST)",
        b"Thu, 10 Dec 2026 12:00 GMT",
        b"Thu, 10 Dec 26 12:00:00 UT",
        b"Thu, 10 Dec 2026 07:00:00 EST",
        b"Thu, 10 Dec 2026 05:00:00 PDT",
        b"Thu, 10 Dec 2026 12:00:00 Z",
        b"Thu, 10 Dec 2026 12:00:00 -0000",
        b"Thu, 10 Dec 2026 12:00:00",
        b"Thu,\r\n 10 Dec 2026 12:00:00 +0000",
        b"Thu Dec 10 12:00:00 2026",
    ],
)
def test_the_date_header_counts_in_all_its_forms(date: bytes) -> None:
    assert timestream(b"Date: " + date + b"\r\nReceived: by a; Fri, 11 Dec 2026 12:00:00 +0000\r\n") == (
        NOON,
        "date",
        set(),
    )


def test_a_leap_second_is_the_second_before_it() -> None:
    assert timestream(b"Date: Sat, 31 Dec 2016 23:59:60 +0000\n")[0] == 1_483_228_799


@pytest.mark.parametrize(
    "date",
    [
        b"",
        b"yesterday",
        b"Thu, 10 Dec 9999 12:00:00 +0000",
        b"Fri, 31 Dec 9999 23:59:59 -1200",
        b"Sat, 01 Jan 0101 00:00:00 +1400",
        b"Thu, 10 Dec 1998 12:00:00 +0000",
        b"Fri, 01 Jan 2100 00:00:00 +0000",
        b"Fri, 01 Jan 70 00:00:00 +0000",
        b"Thu, 40 Dec 2026 12:00:00 +0000",
        b"Thu, 10 Dec 2026 99:00:00 +0000",
        b"Thu, 10 Dec 2026 12:00:00 +99999999999999999999",
        b"0 0 0 0",
        b"\xff\x00",
        b"Thu, 10 Dec 2026 12:00:00 +0000" + b" " * 300 + b"x",
    ],
)
def test_a_date_that_does_not_count_leaves_it_to_the_newest_received(date: bytes) -> None:
    received = (
        b"Received: by b\nReceived: by b; Thu, 10 Dec 2026 12:00:00 +0000\nReceived: by a; 9 Dec 2026 12:00:00 +0000\n"
    )
    assert timestream(b"Date: " + date + b"\n" + received) == (NOON, "received", {Defect.INVALID_DATE})


def test_without_any_date_the_object_dates_the_email() -> None:
    assert timestream(b"From: a\n") == (int(STORED.timestamp()), "last_modified", {Defect.MISSING_DATE})


@pytest.mark.parametrize(
    ("stored", "seconds"),
    [(datetime(1999, 1, 1, tzinfo=UTC), EARLIEST_TIMESTAMP), (datetime(2200, 1, 1, tzinfo=UTC), END_OF_TIMESTAMPS - 1)],
)
def test_the_time_is_within_the_bounds_of_the_contract_even_then(stored: datetime, seconds: int) -> None:
    assert timestream(b"From: a\n", stored)[0] == seconds


@pytest.mark.parametrize(
    ("second", "source"), [(b"23:59:59 +0000", "last_modified"), (b"24:00:00 +0000", "last_modified")]
)
def test_the_bounds_are_exact(second: bytes, source: str) -> None:
    assert timestream(b"Date: Fri, 31 Dec 1999 " + second + b"\n")[1] == source
    assert timestream(b"Date: Sat, 01 Jan 2000 00:00:00 +0000\n")[:2] == (EARLIEST_TIMESTAMP, "date")
    assert timestream(b"Date: Thu, 31 Dec 2099 23:59:59 +0000\n")[:2] == (END_OF_TIMESTAMPS - 1, "date")


def test_received_fields_past_the_limit_do_not_count() -> None:
    valid = b"Received: by b; Thu, 10 Dec 2026 12:00:00 +0000\n"
    assert timestream(b"Received: by a\n" * (MAX_RECEIVED_FIELDS - 1) + valid)[1] == "received"
    assert timestream(b"Received: by a\n" * MAX_RECEIVED_FIELDS + valid)[1] == "last_modified"
