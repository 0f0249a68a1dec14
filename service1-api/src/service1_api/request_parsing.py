"""Reads the data of a request and checks media type, size, JSON and token, in this order, before any field."""

import re
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Protocol, TypeVar

from flask import Request, Response, after_this_request
from prometheus_client import Gauge

from pillarbox import strict_json
from pillarbox.gzip_body import GzipError, GzipTooLargeError, gunzip
from pillarbox.strict_json import JsonError, JsonValue
from service1_api.metrics import Metrics
from service1_api.problems import FieldError, Problem, body_too_large
from service1_api.tokens import TokensUnavailableError

# Parsing holds the interpreter lock and copies the body. Larger bodies are parsed one at a time, so that /health
# answers in time and memory stays bounded.
LARGE_BODY_BYTES = 64 * 1024
_LARGE_BODY_WAIT_SECONDS = 5.0

# A value such as 1.5 takes 4 bytes in JSON and 112 in memory, so a body above this size may have fewer of them.
_ANY_STRUCTURE_BYTES = 2 * 1024 * 1024
_MAX_OTHER_BYTES = 1024 * 1024
_MAX_STRINGS = 128 * 1024

_JSON_MEDIA_TYPE = re.compile(r"application/[^/\s]+\+json")
_CODINGS = {"": False, "identity": False, "gzip": True, "x-gzip": True}  # x-gzip: RFC 9110, 8.4.1.3

_Read = TypeVar("_Read")


class Tokens(Protocol):
    """The valid tokens of the API."""

    @property
    def ready(self) -> bool:
        """Whether tokens can be checked."""
        ...

    def check(self, presented: str) -> bool:
        """Return whether a token is valid. Raise TokensUnavailableError."""
        ...


class ConcurrencyLimit:
    """A context manager for at most `count` requests at once; entering raises Problem if the limit is reached."""

    def __init__(self, count: int, in_use: Gauge) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._in_use = in_use

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise Problem("overloaded", "too many requests are being handled")
        self._in_use.inc()

    def __exit__(self, *_exception: object) -> None:
        self._in_use.dec()
        self._free.release()


class OneAtATime:
    """A context manager that waits until it is free; entering raises Problem if that takes too long."""

    def __init__(self) -> None:
        self._free = threading.Lock()

    def __enter__(self) -> None:
        if not self._free.acquire(timeout=_LARGE_BODY_WAIT_SECONDS):
            raise Problem("overloaded", "too many large requests are being handled")

    def __exit__(self, *_exception: object) -> None:
        self._free.release()


class _InflatedBytes:
    """The bytes of large compressed bodies in flight. The server counts bodies as they arrive, before they grow."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held = 0

    def hold(self, count: int) -> None:
        """Count bytes until the present request is answered. Raise Problem if there are too many."""
        with self._lock:
            if self._held + count > self._limit:
                raise Problem("overloaded", "too many bytes of compressed requests are being handled")
            self._held += count

        @after_this_request
        def give_back(response: Response) -> Response:
            with self._lock:
                self._held -= count
            return response


class RequestParser:
    """Reads requests that carry e-mails: at most `max_in_flight` at once, each of at most `max_bytes` inflated."""

    def __init__(
        self, tokens: Tokens, metrics: Metrics, *, max_bytes: int, max_in_flight: int, max_inflated_bytes: int
    ) -> None:
        self._tokens = tokens
        self._max_bytes = max_bytes
        self.concurrency = ConcurrencyLimit(max_in_flight, metrics.requests_in_flight)
        self._one_large_body = OneAtATime()
        self._inflated = _InflatedBytes(max_inflated_bytes)

    def read(self, request: Request, convert: Callable[[JsonValue], _Read]) -> _Read:
        """Return what `convert` makes of the request's `data`, of any type, after the token check. Raise Problem.

        Large bodies are parsed and converted one at a time: text takes up to four times its size in UTF-8.
        """
        self._check_headers(request)
        presented = _bearer(request)
        if presented is not None:
            self._check_token(presented)
        body = self._small_body(request)
        if body is not None:
            fields = _fields(body)
            if presented is None:
                self._check_token(fields.get("token"))
            return convert(_data(fields))
        with self._one_large_body:
            fields = _fields(self._whole_body(request))
            if presented is not None:
                return convert(_data(fields))
        self._check_token(fields.get("token"))  # it may wait for SSM: not while others wait
        with self._one_large_body:
            return convert(_data(fields))

    def authorize(self, request: Request) -> None:
        """Check the token of a request without a body. Raise Problem."""
        self._check_token(_bearer(request))

    def _check_headers(self, request: Request) -> None:
        media_type = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not _JSON_MEDIA_TYPE.fullmatch(media_type):
            raise Problem("unsupported_media_type", "Content-Type must be application/json")
        if _coding(request) not in _CODINGS:
            detail = "the Content-Encoding must be gzip, once, or none"
            raise Problem("unsupported_media_type", detail, headers={"Accept-Encoding": "gzip"})  # RFC 9110, 15.5.16
        if (request.content_length or 0) > self._max_bytes:
            raise body_too_large(self._max_bytes)

    def _read(self, request: Request) -> bytes:
        try:
            raw: bytes = request.environ["wsgi.input"].read(self._max_bytes + 1)
        except Exception as exc:  # each WSGI server has its own errors for an incomplete body
            raise Problem("malformed_request", "the body could not be read") from exc
        if len(raw) > self._max_bytes:
            raise body_too_large(self._max_bytes)
        if len(raw) < (request.content_length or 0):
            raise Problem("malformed_request", "the body is shorter than its Content-Length")
        return raw

    def _small_body(self, request: Request) -> bytes | None:
        """Return a body of at most LARGE_BODY_BYTES; None for a larger one, which can still be read."""
        if (request.content_length or 0) > LARGE_BODY_BYTES:
            return None
        raw = self._read(request)
        if not _CODINGS[_coding(request)]:
            return raw
        try:
            return gunzip(raw, LARGE_BODY_BYTES)
        except GzipTooLargeError:
            request.environ["wsgi.input"] = BytesIO(raw)
            return None
        except GzipError as exc:
            raise Problem("malformed_request", f"the body {exc}") from None

    def _whole_body(self, request: Request) -> bytes:
        body = self._read(request)
        if _CODINGS[_coding(request)]:
            try:
                body = gunzip(body, self._max_bytes)
            except GzipTooLargeError as exc:
                raise Problem("too_large", f"the body {exc}") from None
            except GzipError as exc:
                raise Problem("malformed_request", f"the body {exc}") from None
            self._inflated.hold(len(body))
        if len(body) > _ANY_STRUCTURE_BYTES and strict_json.has_more_than(body, _MAX_STRINGS, _MAX_OTHER_BYTES):
            limits = f"{_MAX_STRINGS} strings and {_MAX_OTHER_BYTES} bytes besides"
            raise Problem("too_large", f"a body above {_ANY_STRUCTURE_BYTES} bytes has at most {limits}")
        return body

    def _check_token(self, presented: object) -> None:
        try:
            if not isinstance(presented, str) or not self._tokens.check(presented):
                raise Problem("unauthorized", "a valid token is required")
        except TokensUnavailableError:
            raise Problem("token_unavailable", "the token cannot be checked at present") from None


def _fields(body: bytes) -> dict[str, JsonValue]:
    """Return the fields of a body; none if it is JSON but no object. Raise Problem."""
    try:
        document = strict_json.loads(body)
    except JsonError as exc:
        raise Problem("invalid_json", f"the body {exc}") from None
    return document if isinstance(document, dict) else {}


def _data(fields: Mapping[str, JsonValue]) -> JsonValue:
    if "data" not in fields:
        raise Problem("invalid_data", "no `data`", [FieldError("#/data", "missing", "is required")])
    return fields["data"]


def _bearer(request: Request) -> str | None:
    """Return the token of the Authorization header, or None if there is no such header."""
    header: str | None = request.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Problem("unauthorized", "the Authorization scheme must be Bearer")
    try:  # WSGI decodes header bytes as Latin-1
        return token.strip(" \t").encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Problem("unauthorized", "a valid token is required") from None


def _coding(request: Request) -> str:
    header: str | None = request.environ.get("HTTP_CONTENT_ENCODING")
    return header.strip(" \t").lower() if header else ""
