"""The responses to the exceptions of a request."""

import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import ImATeapot

from service1_api.problems import Problem

from .conftest import Service
from .fakes import TOKEN
from .test_messages import code_of, post


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("DELETE", "/process", 405, "method_not_allowed")],
)
def test_request_without_a_view_is_a_problem(
    client: FlaskClient, method: str, path: str, status: int, code: str
) -> None:
    response = client.open(path, method=method)
    assert (response.status_code, code_of(response)) == (status, code)
    assert response.headers.get("Allow") == ("OPTIONS, POST" if status == 405 else None)


def test_body_of_a_problem_has_the_trace_of_the_request(client: FlaskClient) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    response = client.get("/nowhere", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    assert response.get_json()["trace_id"] == trace_id


@pytest.mark.parametrize("error", [ValueError(TOKEN), ImATeapot(TOKEN)])
def test_unexpected_exception_is_500_and_its_text_is_not_exposed(
    service: Service, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(_message: object) -> None:
        raise error

    service.publisher.fail = fail
    response = post(service.client)
    assert (response.status_code, code_of(response)) == (500, "internal_error")
    assert TOKEN not in response.text + caplog.text
    assert type(error).__name__ in caplog.text


def test_every_rejection_is_counted_by_its_code(service: Service) -> None:
    def refuse(_message: object) -> None:
        raise Problem("overloaded", "why")

    service.publisher.fail = refuse
    assert code_of(post(service.client)) == "overloaded"
    assert service.registry.get_sample_value("pillarbox_api_rejections_total", {"code": "overloaded"}) == 1
