"""Header blocks: fields, folding, where the body begins, and the bounds."""

import pytest

from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.header_block import MAX_FIELDS, read_headers


@pytest.mark.parametrize(
    ("content", "fields", "body", "expected"),
    [
        (b"A: 1\r\nb:2\r\n\r\nbody", [("a", b"1"), ("b", b"2")], b"body", set()),
        (b"A: 1\nB: 2\n\nbody", [("a", b"1"), ("b", b"2")], b"body", set()),
        (b"A: 1\r\r\n\r\r\nbody", [("a", b"1")], b"body", set()),
        (b"A: 1\r\n\t2\r\n  3\r\n\r\nbody", [("a", b"1\t2  3")], b"body", set()),
        (b"A: 1\r\n \r\n 2\r\n\r\nbody", [("a", b"1  2")], b"body", set()),
        (b"A : 1\n\nbody", [("a", b"1")], b"body", set()),
        (b"A:\n\nbody", [("a", b"")], b"body", set()),
        (b"A: 1", [("a", b"1")], b"", set()),
        (b"", [], b"", set()),
        (b"\nbody", [], b"body", set()),
        (b"no field\nA: 1", [], b"no field\nA: 1", set()),
        (b"A: 1\nno field\nB: 2", [("a", b"1")], b"no field\nB: 2", {Defect.MISSING_SEPARATOR}),
        (b"A: \xff\x00\n\nbody", [("a", b"\xff\x00")], b"body", set()),
    ],
)
def test_a_block_is_read_up_to_its_end(
    content: bytes, fields: list[tuple[str, bytes]], body: bytes, expected: Defects
) -> None:
    found: Defects = set()
    headers = read_headers(content, 0, len(content), 1000, found)
    assert (headers.fields, content[headers.body_start :]) == (fields, body)
    assert found == expected


def test_equal_names_keep_their_order() -> None:
    headers = read_headers(b"A: 1\nB: 2\nA: 3\n\n", 0, 16, 1000, set())
    assert headers.every("a") == [b"1", b"3"]
    assert headers.first("a") == b"1"
    assert headers.first("c") is None


@pytest.mark.parametrize("separator", [b"\n\n", b"\r\n\r\n"])
def test_a_block_past_the_limit_is_cut_and_the_body_is_still_found(separator: bytes) -> None:
    content = b"A: 1\nB: " + b"x" * 5000 + b"\nC: 3" + separator + b"body"
    found: Defects = set()
    headers = read_headers(content, 0, len(content), 1000, found)
    assert headers.fields == [("a", b"1"), ("b", b"x" * 992)]
    assert content[headers.body_start :] == b"body"
    assert found == {Defect.HEADER_TRUNCATED}


def test_fields_past_the_limit_are_ignored() -> None:
    content = b"A: 1\n" * (MAX_FIELDS + 5) + b"\nbody"
    found: Defects = set()
    headers = read_headers(content, 0, len(content), len(content), found)
    assert len(headers.fields) == MAX_FIELDS
    assert content[headers.body_start :] == b"body"
    assert found == {Defect.TOO_MANY_HEADERS}
