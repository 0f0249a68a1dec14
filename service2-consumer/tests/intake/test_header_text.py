"""Header values: encoded words and parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service2_consumer.intake.defects import Defect, Defects
from service2_consumer.intake.header_text import MAX_PARAMETERS_BYTES, MAX_VALUE_BYTES, decode_header, parse_parameters

PARTS = st.sampled_from(
    [
        b"=?",
        b"?=",
        b"utf-8",
        b"?q?",
        b"?B?",
        b"=C3",
        b"=A4",
        b"w6Q=",
        b" ",
        b";",
        b"name",
        b"*",
        b"0",
        b"=",
        b'"',
        b"\\",
    ]
)


@pytest.mark.parametrize(
    ("raw", "text", "expected"),
    [
        (b"plain", "plain", set()),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= again", "Grüße again", set()),
        (b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße", set()),
        (b"=?utf-8?q?a_b?= =?utf-8?q?_c?=", "a b c", set()),
        (b"=?utf-8?q?Gr=C3?=\t=?utf-8?q?=BC?=n", "Grün", set()),
        (b"=?utf-8?b?R3LD?= =?utf-8?b?vG4=?=", "Grün", set()),
        (b"=?utf-8?q?a?= =?iso-8859-1?q?=E4?= b", "aä b", set()),
        (b"x =?utf-8?q?a?= y =?utf-8?q?b?= z", "x a y b z", set()),
        (b"=?utf-8*de?q?=C3=A4?=", "ä", set()),
        (b"=?utf-8?q?with space?=", "with space", set()),
        (b"=?utf-8?q?what??=", "what?", set()),
        (b'"=?utf-8?q?J=C3=A4ne?=" <jane@example.com>', '"Jäne" <jane@example.com>', set()),
        (b"=?iso-8859-1?q?Fr\xf6sche?=", "Frösche", set()),
        (b"=?utf-8?q?=E4?=", "\ufffd", {Defect.WRONG_CHARSET, Defect.INVALID_TEXT}),
        (b"=?x-none?q?=C3=A4?=", "ä", {Defect.UNKNOWN_CHARSET, Defect.WRONG_CHARSET}),
        (b"=?utf-8?b?a?=", "=?utf-8?b?a?=", {Defect.INVALID_ENCODED_WORD}),
        (b"=?utf-8?q?open", "=?utf-8?q?open", set()),
        ("Grüße".encode(), "Grüße", set()),
        ("Grüße".encode("latin-1"), "Grüße", {Defect.WRONG_CHARSET}),
        (b"=?utf-8?q?a=0D=0ABcc:_x?=", "a Bcc: x", set()),
        (b"a\x00b\x7fc", "a b c", set()),
        (b"=?utf-7?q?+2AA-?=", "\ufffd", set()),
    ],
)
def test_values_become_one_line_of_text(raw: bytes, text: str, expected: Defects) -> None:
    found: Defects = set()
    assert decode_header(raw, found) == text
    assert found == expected


def test_a_value_past_the_limit_is_cut() -> None:
    found: Defects = set()
    assert decode_header(b"x" * (MAX_VALUE_BYTES + 1), found) == "x" * MAX_VALUE_BYTES
    assert found == {Defect.HEADER_TRUNCATED}


@pytest.mark.parametrize(
    ("raw", "main", "parameters"),
    [
        (b"Text/Plain", "text/plain", {}),
        (b"text/plain (a comment); Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        (b'a/b; x="one; \\"two\\""; y = 3 ;z', "a/b", {"x": 'one; "two"', "y": "3"}),
        (b'a/b; x="never closed; y=1', "a/b", {"x": "never closed; y=1"}),
        (b'a/b; x="ends in a backslash\\', "a/b", {"x": "ends in a backslash"}),
        (b"a/b; x=1; x=2", "a/b", {"x": "1"}),
        (b"attachment; filename*=utf-8'en'Gr%C3%BC%C3%9Fe.txt", "attachment", {"filename": "Grüße.txt"}),
        (b"attachment; filename=a.txt; filename*=utf-8''%C3%A4.txt", "attachment", {"filename": "ä.txt"}),
        (b'a; name*0=one; name*1=" two"; name*2*=%20%C3%A4', "a", {"name": "one two ä"}),
        (b"a; name*0*=iso-8859-1''%E4; name*1=b", "a", {"name": "äb"}),
        (b"a; name*1=late", "a", {"name": ""}),
        (b"a; name*99999999=x", "a", {"name*99999999": "x"}),
        (b"", "", {}),
        (b";=;;", "", {}),
    ],
)
def test_parameters_are_read(raw: bytes, main: str, parameters: dict[str, str]) -> None:
    assert parse_parameters(raw, set()) == (main, parameters)


def test_parameters_past_the_limit_are_cut() -> None:
    found: Defects = set()
    main, parameters = parse_parameters(b"a/b; x=1" + b" " * MAX_PARAMETERS_BYTES + b"; y=2", found)
    assert (main, parameters) == ("a/b", {"x": "1"})
    assert found == {Defect.HEADER_TRUNCATED}


@given(st.lists(PARTS | st.binary(max_size=3)).map(b"".join))
def test_no_value_raises_or_gives_what_json_cannot_carry(raw: bytes) -> None:
    text = decode_header(raw, set())
    main, parameters = parse_parameters(raw, set())
    "".join([text, main, *parameters, *parameters.values()]).encode()
    assert "\n" not in text
