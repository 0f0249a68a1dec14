"""Problem details: the members that a client can rely on, and the headers of a status."""

import pytest

from service1_api.problems import PROBLEMS, FieldError, Problem, problem_document, problem_headers


@pytest.mark.parametrize("code", PROBLEMS)
def test_problem_has_the_members_of_rfc_9457_and_its_code(code: str) -> None:
    kind = PROBLEMS[code]
    assert problem_document(Problem(code, "why")) == {
        "type": f"/docs#{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "why",
        "code": code,
    }


def test_invalid_fields_and_extensions_are_members_too() -> None:
    problem = Problem("invalid_data", "why", [FieldError("#/data", "type", "must be")], extensions={"results": []})
    document = problem_document(problem)
    assert document["errors"] == [{"pointer": "#/data", "code": "type", "detail": "must be"}]
    assert document["results"] == []


def test_status_has_its_required_headers() -> None:
    assert problem_headers(Problem("unauthorized", "why")) == {"WWW-Authenticate": "Bearer"}
    assert problem_headers(Problem("overloaded", "why")) == {"Retry-After": "1"}
    assert problem_headers(Problem("overloaded", "why", headers={"Retry-After": "7"})) == {"Retry-After": "7"}
    assert problem_headers(Problem("invalid_data", "why")) == {}
