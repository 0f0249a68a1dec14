"""Errors as RFC 9457 problem details: the list of problems, and the one place that turns exceptions into answers."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType

import orjson
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from service1_api.metrics import Metrics

RETRY_AFTER_SECONDS = 1
PROBLEM_MEDIA_TYPE = "application/problem+json"
REJECTIONS = "service1_api.rejections"  # the counter among the app's extensions: the worker refuses requests too

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem: its HTTP status, its title, and what a client should do about it."""

    status: int
    title: str
    remedy: str


PROBLEMS: Mapping[str, ProblemType] = {
    "invalid_json": ProblemType(
        400,
        "The body is not acceptable JSON",
        "Send one JSON object in UTF-8: no name twice, no half surrogate pairs, at most 64 levels, no number that a "
        "64-bit float would change",
    ),
    "invalid_data": ProblemType(400, "The e-mail breaks the contract", "Mend the fields that `errors` lists"),
    "invalid_idempotency_key": ProblemType(
        400, "The Idempotency-Key is not acceptable", "Send a UUIDv7 made in the last 14 days, or no key"
    ),
    "malformed_request": ProblemType(400, "The request is not well-formed HTTP/1.1", "Mend the client"),
    "unauthorized": ProblemType(
        401, "The token is missing or wrong", "Send the token as `Authorization: Bearer` or in the body"
    ),
    "not_found": ProblemType(404, "There is no such route", "See /openapi.json"),
    "method_not_allowed": ProblemType(405, "The route does not take this method", "Use one that `Allow` names"),
    "request_timeout": ProblemType(408, "The request did not arrive in time", "Send the whole request at once"),
    "too_large": ProblemType(413, "The request or the e-mail is too large", "Send less: `detail` names the limit"),
    "uri_too_long": ProblemType(414, "The request line is too long", "Use a path of this API"),
    "unsupported_media_type": ProblemType(
        415, "The body is not declared as JSON", "Send `Content-Type: application/json` and no Content-Encoding"
    ),
    "headers_too_large": ProblemType(431, "The headers are too large", "Send fewer or shorter headers"),
    "rate_limited": ProblemType(429, "Too many requests", "Wait as long as `Retry-After` says"),
    "internal_error": ProblemType(500, "The service failed", "Report the `trace_id`; retry with an Idempotency-Key"),
    "overloaded": ProblemType(503, "The service is busy", "Retry after `Retry-After`"),
    "queue_unavailable": ProblemType(
        503, "The queue did not confirm the e-mail", "Retry after `Retry-After`, with the same Idempotency-Key"
    ),
    "token_unavailable": ProblemType(503, "The token cannot be checked at present", "Retry after `Retry-After`"),
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong place in a request: a JSON pointer (RFC 6901, as a fragment), a stable code and a text."""

    pointer: str
    code: str
    detail: str


@dataclass(slots=True, eq=False)
class Problem(Exception):  # noqa: N818  # RFC 9457's own word for it
    """A request that is refused: `code` is a key of PROBLEMS; `detail` and `errors` never quote the input."""

    code: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, object] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return PROBLEMS[self.code].status


def problem_document(problem: Problem) -> dict[str, object]:
    """Give the members of RFC 9457, and ours: `code`, `errors` (where fields are wrong) and the extensions."""
    kind = PROBLEMS[problem.code]
    document: dict[str, object] = {
        "type": f"/docs#{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.errors:
        document["errors"] = [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in problem.errors]
    return document | dict(problem.extensions)


def problem_headers(problem: Problem) -> dict[str, str]:
    """Give the headers that the status calls for, and the problem's own."""
    headers = dict(problem.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return headers


def register(app: Flask, metrics: Metrics) -> None:
    """Answer every exception of a request as a problem; an unexpected one is logged with its traceback."""

    def answer(problem: Problem) -> Response:
        metrics.rejections_total.labels(problem.code).inc()
        g.code = problem.code
        trace = {"trace_id": g.trace_id} if "trace_id" in g else {}
        return Response(
            orjson.dumps(problem_document(problem) | trace),
            problem.status,
            problem_headers(problem),
            mimetype=PROBLEM_MEDIA_TYPE,
        )

    def http_error(exc: HTTPException) -> Response:
        if exc.code == HTTPStatus.NOT_FOUND:
            return answer(Problem("not_found", "no route has this path"))
        if exc.code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(sorted(getattr(exc, "valid_methods", None) or ()))
            return answer(Problem("method_not_allowed", f"this route takes {allowed}", headers={"Allow": allowed}))
        return unexpected(exc)

    def unexpected(exc: Exception) -> Response:
        log.error("request failed unexpectedly", exc_info=_without_text(exc))
        return answer(Problem("internal_error", "an unexpected error; it has been logged"))

    app.extensions[REJECTIONS] = metrics.rejections_total
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unexpected)


def _without_text(exc: Exception) -> tuple[type[Exception], Exception, TracebackType | None]:
    """Keep an exception's type and place but not its text, which may quote an e-mail or a token."""
    return type(exc), RuntimeError(type(exc).__name__), exc.__traceback__
