"""Reads the data of a request and checks media type, size, JSON and token, in this order, before any field."""

import re
import threading
from typing import Protocol

from flask import Request
from prometheus_client import Gauge

from pillarbox import strict_json
from pillarbox.strict_json import JsonError, JsonValue
from service1_api.metrics import Metrics
from service1_api.problems import FieldError, Problem, body_too_large
from service1_api.tokens import TokensUnavailableError

# Parsing holds the interpreter lock and copies the body. Larger bodies are parsed one at a time, so that /health
# answers in time and memory stays bounded.
LARGE_BODY_BYTES = 64 * 1024
_LARGE_BODY_WAIT_SECONDS = 5.0

_JSON_MEDIA_TYPE = re.compile(r"application/[^/\s]+\+json")


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


class RequestParser:
    """Reads requests that carry e-mails: at most `max_in_flight` at once, each of at most `max_bytes`."""

    def __init__(self, tokens: Tokens, metrics: Metrics, *, max_bytes: int, max_in_flight: int) -> None:
        self._tokens = tokens
        self._max_bytes = max_bytes
        self.concurrency = ConcurrencyLimit(max_in_flight, metrics.requests_in_flight)
        self._large_body = threading.Lock()

    def data(self, request: Request) -> JsonValue:
        """Return the request's `data`, of any type, after the token has been checked. Raise Problem."""
        self._check_headers(request)
        presented = _bearer(request)
        if presented is not None:
            self._check_token(presented)
        body = self._parsed(request)
        fields = body if isinstance(body, dict) else {}
        if presented is None:
            self._check_token(fields.get("token"))
        if "data" not in fields:
            raise Problem("invalid_data", "no `data`", [FieldError("#/data", "missing", "is required")])
        return fields["data"]

    def _check_headers(self, request: Request) -> None:
        media_type = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not _JSON_MEDIA_TYPE.fullmatch(media_type):
            raise Problem("unsupported_media_type", "Content-Type must be application/json")
        if request.environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            raise Problem("unsupported_media_type", "a Content-Encoding is not supported")
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

    def _parsed(self, request: Request) -> JsonValue:
        try:
            if (request.content_length or 0) <= LARGE_BODY_BYTES:
                return strict_json.loads(self._read(request))
            if not self._large_body.acquire(timeout=_LARGE_BODY_WAIT_SECONDS):
                raise Problem("overloaded", "too many large requests are being handled")
            try:
                return strict_json.loads(self._read(request))
            finally:
                self._large_body.release()
        except JsonError as exc:
            raise Problem("invalid_json", f"the body {exc}") from None

    def _check_token(self, presented: object) -> None:
        try:
            if not isinstance(presented, str) or not self._tokens.check(presented):
                raise Problem("unauthorized", "a valid token is required")
        except TokensUnavailableError:
            raise Problem("token_unavailable", "the token cannot be checked at present") from None


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
