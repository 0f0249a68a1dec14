"""Requests that schemathesis makes of the OpenAPI document, and their responses held against it.

Only the tests that need it import this module: schemathesis and its pytest plugin cost each worker a second and a half.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.pytest.lazy import get_all_tests

from common.testing.waiting import DEADLINE_SECONDS
from pillarbox.object_key import KeyTemplate
from service1_api.status import ArchivedObject, StatusSource

from .conftest import Service
from .fakes import TOKEN, FakeArchive

load_all_checks()
# The others hold the document against ideas of what it ought to say: that every 4xx body is impossible in it, say.
CONFORMANCE = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
CONFORMANCE_OF_503 = [check for check in CONFORMANCE if check.__name__ != "not_a_server_error"]


class HalfAnArchive(FakeArchive):
    """Every other e-mail is there."""

    def find(self, key: str) -> ArchivedObject | None:
        number = hashlib.sha256(key.encode()).digest()[0]
        found = ArchivedObject(datetime(2026, 12, 10, tzinfo=UTC), 5, "ab" * 32 if number % 4 == 1 else None)
        return found if number % 2 else None


def application_schema() -> Any:
    """Return the document of an application in this process, with calls to it."""
    service = Service(status=StatusSource(HalfAnArchive(), KeyTemplate("{prefix}{message_id}", "messages/")))
    service.tokens.valid = {TOKEN}
    return schemathesis.openapi.from_wsgi("/openapi.json", service.app)


def service_schema(port: int) -> Any:
    """Return the document of a running service, with calls over the network."""
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json", timeout=DEADLINE_SECONDS)


def _examples(count: int) -> Callable[[Any], Any]:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def check_operation(schema: Any, path: str, method: str) -> None:
    """Make the requests of an operation that `schema.parametrize()` would make: random ones and those at the limits.

    That would make them up while pytest collects, in each worker.
    """

    @_examples(15)
    def answers_as_described(case: Any) -> None:
        case.headers["Authorization"] = f"Bearer {TOKEN}"
        response = case.call()
        assert response.status_code < 500
        case.validate_response(response, checks=CONFORMANCE)

    operation = schema.include(path=path, method=method.upper())
    (result,) = get_all_tests(schema=operation, test_func=answers_as_described, settings=None, given_kwargs=None)
    assert isinstance(result, Ok), result
    _, test = result.ok()
    test()


def check_operation_at_random(schema: Any, path: str, method: str) -> None:
    """Make requests of an operation of a running service: the document's example, which is accepted, and random ones.

    On a busy machine the service may give up waiting for the archive, after a fixed time: that is a 503, which the
    document describes.
    """
    operation, reads_archive = schema[path][method], path == "/api/messages/{message_id}"

    def status_of(case: Any) -> int:
        case.headers["Authorization"] = f"Bearer {TOKEN}"
        response = case.call(timeout=DEADLINE_SECONDS)
        checks = CONFORMANCE_OF_503 if response.status_code == 503 and reads_archive else CONFORMANCE
        case.validate_response(response, checks=checks)
        return int(response.status_code)

    @_examples(15)
    @given(case=operation.as_strategy())
    def answers_as_described(case: Any) -> None:
        status_of(case)

    if method == "post":
        body = operation.definition.raw["requestBody"]["content"]["application/json"]["example"]
        assert status_of(operation.Case(body=body, media_type="application/json")) == 200
    answers_as_described()
