"""Errors as RFC 9457 problem details: the closed list of problems, and their JSON form. Pure: no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RETRY_AFTER_SECONDS = 1
PROBLEM_MEDIA_TYPE = "application/problem+json"


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
        "Send one JSON object in UTF-8: no duplicate keys, no unpaired surrogates, at most 64 levels, no number that "
        "a 64-bit float would change",
    ),
    "invalid_data": ProblemType(400, "The e-mail does not match the contract", "Correct the fields listed in `errors`"),
    "invalid_idempotency_key": ProblemType(
        400, "The Idempotency-Key is not acceptable", "Send a UUIDv7 made in the last 14 days, or no key"
    ),
    "invalid_message_id": ProblemType(
        400, "The message id is not acceptable", "Use the `message_id` from the response to the e-mail"
    ),
    "malformed_request": ProblemType(400, "The request is not well-formed HTTP/1.1", "Correct the client"),
    "unauthorized": ProblemType(
        401, "The token is missing or wrong", "Send the token as `Authorization: Bearer` or in the body"
    ),
    "not_found": ProblemType(404, "There is no such route", "See /openapi.json"),
    "not_archived": ProblemType(
        404,
        "The archive does not hold the e-mail",
        "If there is a `Retry-After`, retry after that many seconds, or send `Prefer: wait=5`",
    ),
    "method_not_allowed": ProblemType(405, "The route does not accept this method", "Use a method listed in `Allow`"),
    "request_timeout": ProblemType(408, "The request did not arrive in time", "Send the whole request at once"),
    "too_large": ProblemType(413, "The request or the e-mail is too large", "Send less; `detail` names the limit"),
    "uri_too_long": ProblemType(414, "The request line is too long", "Use a path of this API"),
    "unsupported_media_type": ProblemType(
        415,
        "The body is not declared as JSON",
        "Send `Content-Type: application/json`, and `Content-Encoding: gzip` or none",
    ),
    "expectation_failed": ProblemType(417, "The expectation cannot be met", "Send `Expect: 100-continue` or none"),
    "rate_limited": ProblemType(429, "Too many requests", "Retry after `Retry-After` seconds"),
    "headers_too_large": ProblemType(431, "The headers are too large", "Send fewer or shorter headers"),
    "internal_error": ProblemType(500, "The service failed", "Report the `trace_id`; retry with an Idempotency-Key"),
    "status_unavailable": ProblemType(
        501,
        "This service cannot report the status of an e-mail",
        "Ask an operator to search the archive: `pillarbox find ID`",
    ),
    "overloaded": ProblemType(503, "The service is busy", "Retry after `Retry-After` seconds"),
    "queue_unavailable": ProblemType(
        503,
        "The queue did not confirm the e-mail",
        "Retry after `Retry-After` seconds, with the same Idempotency-Key",
    ),
    "store_unavailable": ProblemType(
        503,
        "S3 could not be reached, for a large e-mail or for a status",
        "Retry after `Retry-After` seconds; for an e-mail use the same Idempotency-Key",
    ),
    "token_unavailable": ProblemType(
        503, "The token cannot be checked at present", "Retry after `Retry-After` seconds"
    ),
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid place in a request: a JSON pointer (RFC 6901, as a fragment), a stable code and a text."""

    pointer: str
    code: str
    detail: str


@dataclass(slots=True, eq=False)
class Problem(Exception):  # noqa: N818  # the term of RFC 9457
    """A rejected request: `code` is a key of PROBLEMS; `detail` and `errors` never quote the input."""

    code: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, object] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status of the response."""
        return PROBLEMS[self.code].status


def body_too_large(max_bytes: int) -> Problem:
    """Return the problem of a request body that exceeds the limit."""
    return Problem("too_large", f"a request body is at most {max_bytes} bytes")


def problem_document(problem: Problem) -> dict[str, object]:
    """Return the members of RFC 9457 and our own: `code`, `errors` (if fields are invalid) and the extensions."""
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
    """Return the headers that the status requires, and the problem's own."""
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return headers
