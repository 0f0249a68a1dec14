"""What is told of a request: log lines, traces and metrics, and what never is."""

import logging

import pytest
from flask.testing import FlaskClient

from pillarbox.logs import JsonFormatter
from service1_api.publisher import QueueUnavailableError

from .conftest import Service
from .fakes import TOKEN
from .test_messages import EMAIL, post

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def requests_in(lines: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [vars(record) for record in lines.records if record.message == "request"]


def test_a_request_is_one_line_with_id_trace_status_and_time(
    client: FlaskClient, lines: pytest.LogCaptureFixture
) -> None:
    response = post(client, traceparent=TRACEPARENT)
    (line,) = requests_in(lines)
    assert {name: line[name] for name in ("method", "route", "status", "message_id", "trace_id")} == {
        "method": "POST",
        "route": "/api/message",
        "status": 200,
        "message_id": response.get_json()["message_id"],
        "trace_id": TRACEPARENT[3:35],
    }
    assert isinstance(line["milliseconds"], float)


def test_a_batch_says_how_many_of_its_items_were_queued(client: FlaskClient, lines: pytest.LogCaptureFixture) -> None:
    post(client, "/api/messages", [EMAIL, {}, EMAIL])
    (line,) = requests_in(lines)
    assert (line["items"], line["queued"]) == (3, 2)


def test_a_refusal_is_logged_with_its_code_and_the_trace_of_the_answer(
    client: FlaskClient, lines: pytest.LogCaptureFixture
) -> None:
    response = client.get("/process")
    (line,) = requests_in(lines)
    assert (line["code"], line["trace_id"]) == ("method_not_allowed", response.get_json()["trace_id"])


def test_the_trace_of_the_request_travels_with_the_message(service: Service) -> None:
    post(service.client, traceparent=TRACEPARENT)
    assert service.publisher.published[0].attributes["traceparent"] == TRACEPARENT


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_without_a_valid_trace_one_is_begun(service: Service, traceparent: str) -> None:
    post(service.client, traceparent=traceparent)
    assert service.publisher.published[0].attributes["traceparent"] not in ("", traceparent)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_probes_are_logged_at_debug_only(client: FlaskClient, lines: pytest.LogCaptureFixture, path: str) -> None:
    client.get(path)
    (line,) = requests_in(lines)
    assert line["levelname"] == "DEBUG"


def test_neither_the_token_nor_the_email_is_logged_or_echoed(service: Service, lines: pytest.LogCaptureFixture) -> None:
    secret = "s3cr3t-w0rd"
    email = EMAIL | {"email_subject": secret, secret: secret}
    client = service.client
    service.publisher.fail = lambda _message: QueueUnavailableError("deadline")
    answers = [
        post(client, data=email),
        post(client, "/api/messages", [email, {secret: secret}]),
        post(client, data=email | {"email_timestream": secret}),
        client.post("/api/message", data=f'{{"{secret}": {secret}', content_type="application/json"),
        client.post("/api/message", json={"data": email, "token": secret}),
        client.get(f"/{secret}?{secret}"),
        post(client, **{"Idempotency-Key": secret}),
        post(client, traceparent=secret),
    ]

    def fail(_message: object) -> None:
        raise ValueError(secret + TOKEN)

    service.publisher.fail = fail
    answers.append(post(client, data=email))
    assert [answer.status_code for answer in answers] == [503, 503, 400, 400, 401, 404, 400, 503, 500]
    told = [answer.text for answer in answers] + [JsonFormatter("test").format(record) for record in lines.records]
    assert [text for text in told if secret in text or TOKEN in text] == []


def test_an_unexpected_error_is_500_and_logged_with_its_place(
    service: Service, lines: pytest.LogCaptureFixture
) -> None:
    def fail(_message: object) -> None:
        raise ZeroDivisionError

    service.publisher.fail = fail
    response = post(service.client)
    assert (response.status_code, response.get_json()["code"]) == (500, "internal_error")
    (record,) = [record for record in lines.records if record.levelname == "ERROR"]
    assert "ZeroDivisionError" in JsonFormatter("test").format(record)


def test_requests_rejections_and_emails_are_counted(service: Service) -> None:
    post(service.client)
    post(service.client, "/api/messages", [EMAIL, EMAIL, {}])
    post(service.client, Authorization="Bearer wrong")
    service.client.get("/nowhere")
    service.publisher.fail = lambda _message: QueueUnavailableError("deadline")
    post(service.client)

    def value(name: str, **labels: str) -> float | None:
        return service.registry.get_sample_value(f"pillarbox_api_{name}", labels)

    assert value("requests_total", route="/api/message", status="200") == 1
    assert value("requests_total", route="/api/messages", status="207") == 1
    assert value("requests_total", route="none", status="404") == 1
    assert value("rejections_total", code="unauthorized") == 1
    assert value("rejections_total", code="not_found") == 1
    assert value("rejections_total", code="invalid_data") == 1
    assert value("published_total") == 3
    assert value("publish_failures_total", cause="deadline") == 1
    assert value("request_seconds_count", route="/api/message") == 3
    assert value("requests_in_flight") == 0
