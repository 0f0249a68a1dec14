"""Test the API's answers over HTTP: which requests are accepted, and which status and code the others get."""

import http.client
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from e2e_test.e2e_http import Answer, request

VALID = {
    "email_subject": "Pillarbox API test",
    "email_sender": "api-test@pillarbox.invalid",
    "email_timestream": "1693561101",
    "email_content": "Sent by e2e_test/api_test.sh",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A request and its expected answer; `field` is the field that an error must name, or empty."""

    name: str
    body: bytes
    status: int
    code: str = ""
    field: str = ""


def cases(token: str) -> Iterator[Case]:
    """Return the cases; the first one is a valid request."""
    yield Case("valid request", _body(VALID, token), 200)
    yield Case("missing token", json.dumps({"data": VALID}).encode(), 401, "unauthorized")
    yield Case("invalid token", _body(VALID, "wrong"), 401, "unauthorized")
    yield Case("missing data", json.dumps({"token": token}).encode(), 400, "invalid_data")
    for field in VALID:
        without = {name: value for name, value in VALID.items() if name != field}
        yield Case(f"missing {field}", _body(without, token), 400, "invalid_data", field)
    for field in VALID:
        yield Case(f"empty {field}", _body(VALID | {field: ""}, token), 400, "invalid_data", field)
    for what, timestamp in (
        ("of wrong format", "2023-09-01T10:18:21Z"),
        ("before 2000", "946684799"),
        ("from 2100 on", "4102444800"),
    ):
        email = VALID | {"email_timestream": timestamp}
        yield Case(f"timestamp {what}", _body(email, token), 400, "invalid_data", "email_timestream")
    yield Case("invalid JSON", b'{"data": ', 400, "invalid_json")


def problem_with(case: Case, answer: Answer) -> str:
    """Return how an answer differs from the expected one, or an empty text."""
    if answer.status != case.status or answer.code() != case.code:
        expected, got = f"{case.status} {case.code}".rstrip(), f"{answer.status} {answer.code()}".rstrip()
        return f"expected {expected}, got {got}"
    if case.status == 200 and not answer.body.get("message_id"):
        return "the answer has no message_id"
    if case.field and case.field not in json.dumps(answer.body):
        return f"the answer does not name {case.field}"
    return ""


def main(arguments: list[str]) -> int:
    """Run all cases. Exit codes: 0 all answers are as expected, 1 some are not, 2 wrong usage."""
    token = os.environ.get("API_TOKEN", "")
    if len(arguments) != 1 or not arguments[0].startswith(("http://", "https://")):
        print("usage: API_TOKEN=... e2e_test/api_test.sh URL", file=sys.stderr)
        return 2
    if not token:
        print("API_TOKEN is not set", file=sys.stderr)
        return 2
    url = f"{arguments[0].rstrip('/')}/api/message"
    failures = 0
    for case in cases(token):
        try:
            started = time.monotonic()
            answer = request(url, case.body)
            problem = problem_with(case, answer)
            milliseconds = (time.monotonic() - started) * 1000
        except (OSError, http.client.HTTPException) as exc:
            problem, milliseconds = f"no answer: {exc}", 0
        failures += bool(problem)
        print(f"FAILED {case.name}: {problem}" if problem else f"ok     {case.name} ({milliseconds:.0f} ms)")
    print("PASSED" if not failures else f"FAILED ({failures})")
    return 1 if failures else 0


def _body(email: Mapping[str, str], token: str) -> bytes:
    return json.dumps({"data": email, "token": token}).encode()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
