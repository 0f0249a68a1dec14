"""Reports of the server's own rejections, and what waitress may log."""

import logging
from collections.abc import Iterator

import pytest

from service1_api.problems import Problem
from service1_api.server.reports import quiet_waitress, report_to

from .conftest import Service
from .in_process import waitress_loggers_restored

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
FORWARDED = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "203.0.113.5"}


@pytest.fixture
def quiet() -> Iterator[None]:
    with waitress_loggers_restored():
        quiet_waitress()
        yield


@pytest.mark.parametrize(("trusted_proxy_hops", "client"), [(0, "192.0.2.1"), (1, "203.0.113.5")])
def test_report_counts_the_rejection_and_logs_it_with_the_client(
    service: Service, caplog: pytest.LogCaptureFixture, trusted_proxy_hops: int, client: str
) -> None:
    caplog.set_level(logging.INFO)
    report_to(service.app, trusted_proxy_hops)(Problem("too_large", "a body"), TRACE_ID, FORWARDED)
    assert service.registry.get_sample_value("pillarbox_api_rejections_total", {"code": "too_large"}) == 1
    answered = {"route": "none", "status": "413"}  # else an overloaded server would look healthy in the objectives
    assert service.registry.get_sample_value("pillarbox_api_requests_total", answered) == 1
    (line,) = (vars(record) for record in caplog.records)
    assert (line["message"], line["status"], line["code"]) == ("request refused", 413, "too_large")
    assert (line["trace_id"], line["client"]) == (TRACE_ID, client)


def test_errors_of_waitress_are_logged_without_their_text(quiet: None, caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("GET /secret")
    except ValueError:
        logging.getLogger("waitress").exception("Exception while serving %s", "/secret")
    (line,) = (vars(record) for record in caplog.records)
    assert (line["message"], line["exception_type"], line["exc_info"]) == (
        "error in the HTTP server",
        "ValueError",
        None,
    )
    assert "secret" not in str(line)


@pytest.mark.parametrize("name", ["waitress", "waitress.queue"])
def test_warnings_of_waitress_are_not_logged(quiet: None, caplog: pytest.LogCaptureFixture, name: str) -> None:
    logging.getLogger(name).warning("Task queue depth is 1")
    assert caplog.records == []
