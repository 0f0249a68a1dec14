"""What is recorded of a request: log lines, traces and metrics; and what must not be recorded."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient
from prometheus_client import Histogram

from pillarbox.logs import JsonFormatter
from service1_api.outgoing import QueueUnavailableError
from service1_api.request_log import amzn_trace_id, client_address

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


def test_request_is_logged_in_one_line_with_id_trace_status_and_time(
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


def test_batch_log_line_has_the_number_of_queued_items(client: FlaskClient, lines: pytest.LogCaptureFixture) -> None:
    post(client, "/api/messages", [EMAIL, {}, EMAIL])
    (line,) = requests_in(lines)
    assert (line["items"], line["queued"]) == (3, 2)


def test_refusal_is_logged_with_its_code_and_the_trace_of_the_answer(
    client: FlaskClient, lines: pytest.LogCaptureFixture
) -> None:
    response = client.get("/process")
    (line,) = requests_in(lines)
    assert (line["code"], line["trace_id"]) == ("method_not_allowed", response.get_json()["trace_id"])


def test_trace_of_the_request_is_sent_with_the_message(service: Service) -> None:
    post(service.client, traceparent=TRACEPARENT)
    assert service.publisher.published[0].attributes["traceparent"] == TRACEPARENT


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_request_without_a_valid_trace_starts_one(service: Service, traceparent: str) -> None:
    post(service.client, traceparent=traceparent)
    assert service.publisher.published[0].attributes["traceparent"] not in ("", traceparent)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_probes_are_logged_at_debug_only(client: FlaskClient, lines: pytest.LogCaptureFixture, path: str) -> None:
    client.get(path)
    (line,) = requests_in(lines)
    assert line["levelname"] == "DEBUG"


def test_token_and_email_are_neither_logged_nor_returned(service: Service, lines: pytest.LogCaptureFixture) -> None:
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
    texts = [answer.text for answer in answers] + [JsonFormatter("test").format(record) for record in lines.records]
    assert [text for text in texts if secret in text or TOKEN in text] == []


def test_unexpected_error_is_500_and_logged_with_its_traceback(
    service: Service, lines: pytest.LogCaptureFixture
) -> None:
    def fail(_message: object) -> None:
        raise ZeroDivisionError

    service.publisher.fail = fail
    response = post(service.client)
    assert (response.status_code, response.get_json()["code"]) == (500, "internal_error")
    (record,) = [record for record in lines.records if record.levelname == "ERROR"]
    assert "ZeroDivisionError" in JsonFormatter("test").format(record)


class SlowHistogram:
    """Returns its child only after another request has been answered."""

    def __init__(self, real: Histogram) -> None:
        self._real = real
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def labels(self, route: str) -> Histogram:
        if not self.asked.is_set():
            self.asked.set()
            assert self.may_answer.wait(10)
        return self._real.labels(route)


def test_concurrent_first_requests_are_both_counted_and_answered(service: Service) -> None:
    """With two dictionaries the second request found a counter but no histogram: queued, and answered 500."""
    slow = SlowHistogram(service.metrics.request_seconds)
    service.metrics.request_seconds = slow  # type: ignore[assignment]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, service.client)
        assert slow.asked.wait(10)
        assert post(service.client).status_code == 200
        slow.may_answer.set()
        assert first.result(10).status_code == 200
    assert service.registry.get_sample_value("pillarbox_api_request_seconds_count", {"route": "/api/message"}) == 2


@pytest.mark.parametrize(("hops", "client"), [(0, "192.0.2.9"), (1, "198.51.100.7"), (2, "203.0.113.5")])
def test_log_names_the_client_address_seen_by_the_trusted_proxies(
    hops: int, client: str, lines: pytest.LogCaptureFixture
) -> None:
    headers = {
        "X-Forwarded-For": "203.0.113.5, 198.51.100.7:1234",
        "X-Amzn-Trace-Id": "Root=1-67891233-abcdef0123456789",
    }
    app = Service(trusted_proxy_hops=hops).app
    app.test_client().post("/api/message", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.9"})
    (line,) = requests_in(lines)
    assert line["client"] == client
    assert line.get("amzn_trace_id") == (headers["X-Amzn-Trace-Id"] if hops else None)


@pytest.mark.parametrize("header", ["Root=1\xe9", 'Root="1"', "a" * 257, ""])
def test_trace_of_another_form_is_not_logged(header: str, lines: pytest.LogCaptureFixture) -> None:
    Service(trusted_proxy_hops=1).client.get("/docs", headers={"X-Amzn-Trace-Id": header})
    (line,) = requests_in(lines)
    assert "amzn_trace_id" not in line


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


@pytest.mark.parametrize(
    ("peer", "forwarded", "hops", "client"),
    [
        ("10.0.0.1", None, 0, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", 0, "10.0.0.1"),
        ("10.0.0.1", None, 1, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1", "forged, 192.0.2.1", 1, "192.0.2.1"),
        ("10.0.0.1", "forged,192.0.2.1 , 198.51.100.7", 2, "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1", 2, "192.0.2.1"),
        ("10.0.0.1", "nonsense", 1, "10.0.0.1"),
        ("10.0.0.1", "", 1, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1:4711", 1, "192.0.2.1"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:4711", 1, "2001:db8:1:2:3::4"),
        ("10.0.0.1", "2001:db8:1:2:ffff::1", 1, "2001:db8:1:2:ffff::1"),
        ("::ffff:192.0.2.1", None, 0, "192.0.2.1"),
    ],
)
def test_client_address_is_that_seen_by_the_outermost_trusted_proxy(
    peer: str, forwarded: str | None, hops: int, client: str
) -> None:
    assert client_address(peer, forwarded, hops) == client


@pytest.mark.parametrize(
    ("header", "hops", "expected"),
    [
        ("Root=1-67891233-abcdef0123456789", 1, "Root=1-67891233-abcdef0123456789"),
        ("Root=1-67891233-abcdef0123456789", 0, None),
        (None, 1, None),
        ("Root=1 spaced", 1, None),
        ("a" * 257, 1, None),
    ],
)
def test_amzn_trace_id_is_used_only_behind_a_trusted_proxy(header: str | None, hops: int, expected: str | None) -> None:
    assert amzn_trace_id(header, hops) == expected
