"""Reads and writes JSON without silent changes: input that cannot be kept exactly is rejected (RFC 8259, RFC 7493)."""

import json
import math
from decimal import Decimal
from typing import TypeAlias

import jiter
import orjson

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_DEPTH = 64


class JsonError(ValueError):
    """A document that cannot be kept exactly. `reason` is a short stable code; the message never quotes the input."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def loads(raw: bytes) -> JsonValue:
    """Parse one JSON document.

    Raise JsonError with the reason `invalid_json`, `too_deep` (more than 64 levels) or `number_precision`
    (a number that a double cannot represent as written). Integers of any size up to 4,300 digits are kept.
    """
    try:
        # cache_mode: the default cache would keep short strings, such as tokens, in memory after the request.
        value = jiter.from_json(
            raw, allow_inf_nan=False, cache_mode="keys", catch_duplicate_keys=True, float_mode="decimal"
        )
    except ValueError as exc:
        raise _explained(str(exc)) from None  # the library's text quotes names from the input
    return _converted(value, 1)


def has_more_than(raw: bytes, strings: int, other_bytes: int) -> bool:
    """Return whether a JSON document has more strings, names included, or more bytes outside of them.

    The values outside of strings may take 30 times their size in memory. Of invalid JSON the part counts that `loads`
    parses before it raises. Time is linear, a fraction of that of `loads`.
    """
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")  # without escapes a quote begins or ends a string
    return plain.count(b'"') > 2 * strings or sum(map(len, plain.split(b'"')[::2])) > other_bytes


def dumps(value: JsonValue, *, sort_keys: bool = False) -> bytes:
    """Return a value from `loads` as compact JSON in UTF-8; with sorted keys equal values have equal bytes."""
    option = orjson.OPT_SORT_KEYS if sort_keys else 0
    try:
        return orjson.dumps(value, option=option)
    except TypeError:  # an integer past 64 bits: the standard library writes any size
        return json.dumps(
            value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys, allow_nan=False
        ).encode()


def _explained(library_text: str) -> JsonError:
    if library_text.startswith("recursion limit"):
        return JsonError("too_deep", f"is nested deeper than {MAX_DEPTH} levels")
    if library_text.startswith("Detected duplicate key"):
        return JsonError("invalid_json", "has an object with a duplicate key")
    if "hex escape" in library_text or "surrogate" in library_text:
        return JsonError("invalid_json", "has a \\u escape that is an unpaired surrogate")
    if "number out of range" in library_text or "InvalidOperation" in library_text:  # the latter: of Decimal
        return JsonError("number_precision", "has a number that is too long to be kept exactly")
    position = library_text.rpartition(" at line ")[2]
    where = f" (line {position})" if position.replace(" column ", "").isdecimal() else ""
    return JsonError("invalid_json", f"is not valid JSON in UTF-8{where}")


def _converted(value: object, depth: int) -> JsonValue:
    """Convert Decimals to equal floats, in place, and check the depth."""
    if isinstance(value, Decimal):
        return _as_float(value)
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise JsonError("too_deep", f"is nested deeper than {MAX_DEPTH} levels")
        for key, item in list(value.items()) if isinstance(value, dict) else enumerate(value):
            if not isinstance(item, str):
                value[key] = _converted(item, depth + 1)
    return value  # type: ignore[return-value]  # the parser returns JSON types only


def _as_float(number: Decimal) -> float:
    nearest = float(number)
    if math.isinf(nearest) or Decimal(repr(nearest)) != number:
        raise JsonError("number_precision", "has a number that a 64-bit float cannot represent as written")
    return nearest
