"""JSON in and out without silent changes: what cannot be carried exactly is refused (RFC 8259, RFC 7493)."""

import json
import math
from decimal import Decimal
from typing import TypeAlias

import jiter
import orjson

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_DEPTH = 64


class JsonError(ValueError):
    """A text that JSON cannot carry exactly: `reason` is a short stable code; the message never quotes the input."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def loads(raw: bytes) -> JsonValue:
    """Parse one JSON document.

    Raises JsonError with the reason `invalid_json`, `too_deep` (more than 64 levels) or `number_precision`
    (a number that a double cannot hold as written). Integers of any size up to 4,300 digits are kept.
    """
    try:
        # cache_mode: the cache would keep short strings of e-mails, and tokens, in memory after the request.
        value = jiter.from_json(
            raw, allow_inf_nan=False, cache_mode="keys", catch_duplicate_keys=True, float_mode="decimal"
        )
    except ValueError as exc:
        raise _explained(str(exc)) from None  # the library's text quotes names from the input
    return _settled(value, 1)


def dumps(value: JsonValue, *, sort_keys: bool = False) -> bytes:
    """Write a value that `loads` gave as compact JSON in UTF-8; equal values give equal bytes when keys are sorted."""
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
        return JsonError("invalid_json", "has an object with the same name twice")
    if "hex escape" in library_text or "surrogate" in library_text:
        return JsonError("invalid_json", "has a \\u escape that is half of a surrogate pair")
    if "number out of range" in library_text or "InvalidOperation" in library_text:  # the latter: of decimal's exponent
        return JsonError("number_precision", "has a number too long to be kept exactly")
    place = library_text.rpartition(" at line ")[2]
    where = f" (line {place})" if place.replace(" column ", "").isdecimal() else ""
    return JsonError("invalid_json", f"is not valid JSON in UTF-8{where}")


def _settled(value: object, depth: int) -> JsonValue:
    """Turn Decimals into equal floats, in place, and hold the limit on depth."""
    if isinstance(value, Decimal):
        return _as_float(value)
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise JsonError("too_deep", f"is nested deeper than {MAX_DEPTH} levels")
        for key, item in list(value.items()) if isinstance(value, dict) else enumerate(value):
            if not isinstance(item, str):
                value[key] = _settled(item, depth + 1)
    return value  # type: ignore[return-value]  # the parser gives nothing but JSON types


def _as_float(number: Decimal) -> float:
    nearest = float(number)
    if math.isinf(nearest) or Decimal(repr(nearest)) != number:
        raise JsonError("number_precision", "has a number that a 64-bit float cannot hold as written")
    return nearest
