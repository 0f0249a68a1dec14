import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox import strict_json
from pillarbox.strict_json import JsonError, JsonValue

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=25,
).filter(lambda value: not _has_surrogate(value))


def _has_surrogate(value: object) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False))


@given(json_values)
def test_values_survive_dumps_and_loads(value: JsonValue) -> None:
    text = json.dumps(value)
    parsed = strict_json.loads(text.encode())
    assert repr(parsed) == repr(json.loads(text))  # repr tells 1 from 1.0 and True, and 0.0 from -0.0
    assert repr(json.loads(strict_json.dumps(parsed))) == repr(parsed)


@given(json_values)
def test_sorted_keys_give_equal_bytes_for_equal_values(value: JsonValue) -> None:
    turned = json.loads(json.dumps({"a": value, "b": 1}))
    assert strict_json.dumps({"b": 1, "a": value}, sort_keys=True) == strict_json.dumps(turned, sort_keys=True)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": 1} {"b": 2}', "invalid_json"),
        (b'{"a": 1, "a": 2}', "invalid_json"),
        (b'{"\\u0061": 1, "a": 2}', "invalid_json"),
        (b'"\\ud800"', "invalid_json"),
        (b'"\\udc00\\ud800"', "invalid_json"),
        (b'"\xed\xa0\x80"', "invalid_json"),
        (b'"\xff"', "invalid_json"),
        (b'"a\nb"', "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        ('{"a": 1}'.encode("utf-16"), "invalid_json"),
        (b"NaN", "invalid_json"),
        (b"-Infinity", "invalid_json"),
        (b"01", "invalid_json"),
        (b"1e400", "number_precision"),
        (b"1e-400", "number_precision"),
        (b"1e9223372036854775808", "number_precision"),
        (b"1e-99999999999999999999999", "number_precision"),
        (b"0.12345678901234567890", "number_precision"),
        (b"[[1.00000000000000000001]]", "number_precision"),
        (b"9" * 5000, "number_precision"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "too_deep"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_inexact_input_is_refused_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(JsonError) as caught:
        strict_json.loads(raw)
    assert caught.value.reason == reason


@pytest.mark.parametrize("raw", [b'{"secret-name": 1, "secret-name": 2}', b'{"a": secret-name}', b"secret-name"])
def test_no_error_quotes_the_input(raw: bytes) -> None:
    with pytest.raises(JsonError) as caught:
        strict_json.loads(raw)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b"[" * 64 + b"]" * 64, b"[" * 64 + b"]" * 64),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
        (b"18446744073709551616", b"18446744073709551616"),
        (b"-9223372036854775809", b"-9223372036854775809"),
        (b"[1.10, 1e2, -0.0, 5e-324]", b"[1.1,100.0,-0.0,5e-324]"),
        (b'"\\u0000\\u001f\\ufffe\\uffff"', '"\\u0000\\u001f\ufffe\uffff"'.encode()),
        (b'"\\ud83d\\ude00"', '"😀"'.encode()),
    ],
)
def test_extreme_values_are_accepted(raw: bytes, written: bytes) -> None:
    assert strict_json.dumps(strict_json.loads(raw)) == written


def test_large_integer_does_not_change_the_form_of_other_values() -> None:
    value: JsonValue = {"é": ["😀", 1.5, None, True], "large": 10**30}
    assert (
        strict_json.dumps(value, sort_keys=True)
        == '{"large":1000000000000000000000000000000,"é":["😀",1.5,null,true]}'.encode()
    )


@pytest.mark.parametrize(
    ("raw", "strings", "other_bytes"),
    [
        (b'{"a":"b"}', 2, 3),
        (b'["\\"","\\\\","\\\\\\"","\\n\\\\"]', 4, 5),
        (b"[1.5,1.5,1.5]", 0, 13),
        (b'{"a": ["[1,2,3,4,5]", 1]}', 2, 9),
        (b"", 0, 0),
    ],
)
def test_strings_and_the_bytes_outside_of_them_are_counted_exactly(raw: bytes, strings: int, other_bytes: int) -> None:
    assert not strict_json.has_more_than(raw, strings, other_bytes)
    assert strict_json.has_more_than(raw, strings, other_bytes - 1)
    if strings:
        assert strict_json.has_more_than(raw, strings - 1, other_bytes)


def test_values_before_the_first_mistake_are_counted() -> None:
    for mistake in (b"\\", b'\\"', b'"', b"\\\\", b"]"):
        assert strict_json.has_more_than(b"[" + b"1.5," * 1000 + mistake, 10, 3900)
