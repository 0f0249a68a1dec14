"""The leaf parts of a message: position, headers and limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service2_consumer.intake import mime_parts
from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.header_block import read_headers
from service2_consumer.intake.mime_parts import MAX_BOUNDARY_LENGTH, MAX_DEPTH, MAX_PARTS, Leaf, find_leaves

PIECES = st.sampled_from(
    [
        b"\n", b"\r\n", b"--", b"--a", b"--a--", b"--b", b"--b--", b"\n--a\n", b"\n--a--\n", b"\n--b\n", b"text", b" ",
        b"Content-Type: multipart/mixed; boundary=a\n", b"Content-Type: multipart/digest; boundary=b\n\n",
        b"Content-Type: text/html\n\n", b"Content-Disposition: attachment; filename=x\n",
    ]
)  # fmt: skip


def leaves(content: bytes) -> tuple[list[Leaf], Defects]:
    found: Defects = set()
    return find_leaves(content, read_headers(content, 0, len(content), 10_000, found), found), found


def bodies(content: bytes) -> tuple[list[tuple[str, bytes]], Defects]:
    found, defects = leaves(content)
    return [(leaf.media_type, content[leaf.start : leaf.end]) for leaf in found], defects


def mixed(body: bytes, kind: bytes = b"mixed") -> bytes:
    return b"Content-Type: multipart/" + kind + b"; boundary=a\n\n" + body


@pytest.mark.parametrize(
    ("content", "expected", "defects"),
    [
        (b"From: x\n\nhello", [("text/plain", b"hello")], set()),
        (b"Content-Type: TEXT/HTML\n\nhello", [("text/html", b"hello")], set()),
        (b"Content-Type: text\n\nhello", [("text/plain", b"hello")], {Defect.INVALID_CONTENT_TYPE}),
        (
            mixed(b"preamble\n--a\n\none\n--a\nContent-Type: text/html\n\ntwo\n\n--a--\nepilogue"),
            [("text/plain", b"one"), ("text/html", b"two\n")],
            set(),
        ),
        (mixed(b"--a\r\n\r\none\r\n--a--\r\n"), [("text/plain", b"one")], set()),
        (mixed(b"--a \t\n\none\n--a--  "), [("text/plain", b"one")], set()),
        (
            mixed(b"--a\n\none\n--ab\n--a-\n--a--x\nx--a\n--a--"),
            [("text/plain", b"one\n--ab\n--a-\n--a--x\nx--a")],
            set(),
        ),
        (mixed(b"--a\n\none"), [("text/plain", b"one")], {Defect.MISSING_END_BOUNDARY}),
        (mixed(b"--a\nno header\n--a--"), [("text/plain", b"no header")], set()),
        (mixed(b"--a\n--a\n\n--a--"), [("text/plain", b""), ("text/plain", b"")], set()),
        (mixed(b"--a\nContent-Type: text/html\n--a--"), [("text/html", b"")], set()),
        (mixed(b"just text"), [("text/plain", b"just text")], {Defect.MISSING_BOUNDARY}),
        (b"Content-Type: multipart/mixed\n\n--a\n\nx", [("text/plain", b"--a\n\nx")], {Defect.MISSING_BOUNDARY}),
        (mixed(b"--a\n\nFrom: x\n\none\n--a--", b"digest"), [("message/rfc822", b"From: x\n\none")], set()),
        (
            mixed(b"--a\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--a--"),
            [("message/rfc822", b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx")],
            set(),
        ),
        (
            mixed(
                b"--a\nContent-Type: multipart/alternative; boundary=b\n\n"
                b"--b\n\none\n--b\n\ntwo\n--b--\n--a\n\nthree\n--a--"
            ),
            [("text/plain", b"one"), ("text/plain", b"two"), ("text/plain", b"three")],
            set(),
        ),
        (
            mixed(b"--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--a\n\ntwo\n--a--"),
            [("text/plain", b"one"), ("text/plain", b"two")],
            {Defect.MISSING_END_BOUNDARY},
        ),
        (
            mixed(b"--a\nContent-Type: multipart/mixed; boundary=b\n\nnothing\n--a\n\ntwo\n--a--"),
            [("text/plain", b"nothing"), ("text/plain", b"two")],
            {Defect.MISSING_BOUNDARY},
        ),
    ],
)
def test_leaves_are_found_between_their_delimiters(
    content: bytes, expected: list[tuple[str, bytes]], defects: Defects
) -> None:
    assert bodies(content) == (expected, defects)


def test_a_leaf_says_what_its_header_says() -> None:
    content = (
        b'Content-Type: text/plain; charset="utf-8"; name=other.txt\nContent-Transfer-Encoding: BASE64\n'
        b'Content-Disposition: ATTACHMENT; filename="=?utf-8?q?Gr=C3=BC=C3=9Fe.txt?="\n\nx'
    )
    (leaf,), _ = leaves(content)
    assert (leaf.charset, leaf.encoding, leaf.file_name) == ("utf-8", "base64", "Grüße.txt")
    assert leaf.is_attachment
    assert not leaf.is_text


def test_the_name_of_the_content_type_names_the_file_if_the_disposition_does_not() -> None:
    (leaf,), _ = leaves(b"Content-Type: text/plain; name=a.txt\nContent-Disposition: inline\n\nx")
    assert (leaf.file_name, leaf.is_text) == ("a.txt", True)


@pytest.mark.parametrize("parts", [MAX_PARTS, MAX_PARTS + 1, 10_000])
def test_parts_past_the_limit_are_ignored(parts: int) -> None:
    found, defects = leaves(mixed(b"--a\n\nx\n" * parts + b"--a--"))
    assert len(found) == min(parts, MAX_PARTS)
    assert defects == ({Defect.TOO_MANY_PARTS} if parts > MAX_PARTS else set())


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 5000])
def test_a_multipart_past_the_depth_limit_is_one_leaf(depth: int) -> None:
    levels = [b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(depth)]
    (leaf,), defects = leaves(b"".join(levels) + b"\nx")
    assert leaf.media_type == ("text/plain" if depth <= MAX_DEPTH else "multipart/mixed")
    assert (Defect.NESTED_TOO_DEEP in defects) == (depth > MAX_DEPTH)


def test_the_header_of_a_part_past_the_limit_is_cut_and_later_parts_are_found() -> None:
    found, defects = bodies(mixed(b"--a\n" + b"X-Long: 1\n" * 5000 + b"\none\n--a\n\ntwo\n--a--"))
    assert found[1] == ("text/plain", b"two")
    assert Defect.HEADER_TRUNCATED in defects


def test_long_headers_of_many_parts_end_the_search() -> None:
    part = b"--a\n" + b"X-Long: 1\n" * 1500 + b"\nx\n"
    found, defects = leaves(mixed(part * 200))
    assert 50 < len(found) < 100
    assert Defect.TOO_MANY_PARTS in defects


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_leaves_are_in_order_and_never_overlap(content: bytes) -> None:
    found, _ = leaves(content)
    places = [place for leaf in found for place in (leaf.start, leaf.end)]
    assert places == sorted(places)
    assert all(0 <= place <= len(content) for place in places)


@pytest.mark.parametrize("length", [MAX_BOUNDARY_LENGTH, MAX_BOUNDARY_LENGTH + 1])
def test_a_boundary_past_the_limit_is_none(length: int) -> None:
    boundary = b"b" * length
    content = (
        b"Content-Type: multipart/mixed; boundary="
        + boundary
        + b"\n\n--"
        + boundary
        + b"\n\none\n--"
        + boundary
        + b"--"
    )
    assert leaves(content)[1] == (set() if length <= MAX_BOUNDARY_LENGTH else {Defect.MISSING_BOUNDARY})


def test_lines_that_only_begin_like_a_delimiter_end_the_search_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mime_parts, "MAX_HYPHEN_LINES", 10)
    assert bodies(mixed(b"--a\n\none\n--a--" + b"\n--x" * 50)) == ([("text/plain", b"one")], set())
    found, defects = bodies(mixed(b"--a\n\none" + b"\n--x" * 50 + b"\n--a\n\ntwo\n--a--"))
    assert len(found) == 1
    assert Defect.TOO_MANY_PARTS in defects
