"""The routes that take e-mails, and the order in which a request is checked."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pillarbox.ids import new_message_id, parse_message_id
from pillarbox.message import MAX_MESSAGE_BYTES, encode_body
from pillarbox.probe import PROBE_SENDER, new_probe_id
from service1_api.outgoing import MessageRefusedError, OverloadedError, PublishError, QueueUnavailableError
from service1_api.payloads import StoreUnavailableError

from .conftest import MAX_REQUEST_BYTES, Service
from .fakes import TOKEN

EMAIL = {
    "email_subject": "Happy new year!",
    "email_sender": "John doe",
    "email_timestream": "1693561101",
    "email_content": "Just want to say... Happy new year!!!",
}
ONE = ["/api/message", "/process"]
ALL = [*ONE, "/api/messages"]


def post(client: FlaskClient, path: str = "/api/message", data: Any = EMAIL, **headers: str) -> TestResponse:
    return client.post(path, json={"data": data, "token": TOKEN}, headers=headers)


def code_of(response: TestResponse) -> str:
    assert response.mimetype == "application/problem+json"
    body = response.get_json()
    assert body["status"] == response.status_code
    assert body["type"] == f"/docs#{body['code']}"
    assert body["title"]
    return str(body["code"])


@pytest.mark.parametrize("path", ONE)
def test_email_is_queued_under_a_new_id_with_its_fields_unchanged(service: Service, path: str) -> None:
    before = datetime.now(UTC)

    response = post(service.client, path)

    assert response.status_code == 200
    body = response.get_json()
    assert body == {
        "status": "success",
        "message": "Email data processed and queued",
        "message_id": parse_message_id(body["message_id"]),
    }
    (message,) = service.publisher.published
    assert json.loads(message.body) == EMAIL
    assert message.attributes["message_id"] == body["message_id"]
    assert message.attributes["source"] == "service1-api"
    received_at = datetime.fromisoformat(message.attributes["received_at"])
    assert abs(received_at - before) < timedelta(seconds=30)
    assert len(message.attributes["traceparent"]) == 55


def test_additional_fields_are_queued(service: Service) -> None:
    extended = EMAIL | {"reply_to": ["a@example.org", {"b": None}], "n": 2**70}
    assert post(service.client, data=extended).status_code == 200
    assert json.loads(service.publisher.published[0].body) == extended


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("header", ["Bearer " + TOKEN, "bearer  " + TOKEN + " "])
def test_token_is_read_from_the_header(service: Service, path: str, header: str) -> None:
    data = [EMAIL] if path == "/api/messages" else EMAIL
    response = service.client.post(path, json={"data": data}, headers={"Authorization": header})
    assert response.status_code == 200


@pytest.mark.parametrize("token", ["voil\u00e0", "\u00c5", "x\u00a0"])
def test_token_has_the_same_form_in_header_and_body(service: Service, token: str) -> None:
    """The last UTF-8 bytes of these are white space if read as Latin-1, as WSGI does."""
    service.tokens.valid = {token}
    assert service.client.post("/api/message", json={"data": EMAIL, "token": token}).status_code == 200
    assert post(service.client, Authorization=f"Bearer {token}".encode().decode("latin-1")).status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Basic eDp5", "Bearer", "Bearer \xff\xfe", f"Bearer {TOKEN}\xa0", f"Bearer {TOKEN}\x85"]
)
def test_header_token_takes_precedence_over_the_body(service: Service, header: str) -> None:
    response = post(service.client, Authorization=header)
    assert code_of(response) == "unauthorized"
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert not service.publisher.published


@pytest.mark.parametrize("token", ["wrong", "", None, 7, [TOKEN], {"token": TOKEN}, TOKEN + " ", TOKEN.lower()])
@pytest.mark.parametrize("path", ALL)
def test_wrong_token_is_401_before_the_data_is_checked(client: FlaskClient, path: str, token: object) -> None:
    assert code_of(client.post(path, json={"data": {"email_subject": 7}, "token": token})) == "unauthorized"


@pytest.mark.parametrize("body", [[], "text", 7, {"data": EMAIL}])
def test_body_without_a_token_is_401(client: FlaskClient, body: object) -> None:
    assert client.post("/api/message", json=body).status_code == 401


def test_request_before_a_token_is_loaded_is_503(service: Service) -> None:
    service.tokens.ready = False
    response = post(service.client)
    assert code_of(response) == "token_unavailable"
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"


def test_invalid_fields_are_named_with_pointers(client: FlaskClient) -> None:
    response = post(client, data={"email_subject": " ", "email_sender": 7, "email_timestream": "soon"})
    assert code_of(response) == "invalid_data"
    assert [(e["pointer"], e["code"]) for e in response.get_json()["errors"]] == [
        ("#/data/email_subject", "blank"),
        ("#/data/email_sender", "type"),
        ("#/data/email_timestream", "timestamp_format"),
        ("#/data/email_content", "missing"),
    ]


@pytest.mark.parametrize("data", [None, [], "x", 7, [EMAIL]])
def test_data_other_than_an_object_is_refused(client: FlaskClient, data: object) -> None:
    response = post(client, data=data)
    assert code_of(response) == "invalid_data"
    assert response.get_json()["errors"][0]["pointer"] == "#/data"


@pytest.mark.parametrize("path", ALL)
def test_missing_data_is_refused(client: FlaskClient, path: str) -> None:
    response = client.post(path, json={"token": TOKEN})
    assert response.get_json()["errors"] == [{"pointer": "#/data", "code": "missing", "detail": "is required"}]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff", b'{"a":1}x', b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b"[" * 100 + b"]" * 100, b"[0.1e400]"],
)
def test_inexact_json_is_refused(client: FlaskClient, raw: bytes) -> None:
    assert code_of(client.post("/api/message", data=raw, content_type="application/json")) == "invalid_json"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_other_media_type_is_415(client: FlaskClient, media_type: str) -> None:
    response = client.post("/api/message", data=b"{}", content_type=media_type)
    assert code_of(response) == "unsupported_media_type"


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "application/vnd.mail+json", "Application/JSON"]
)
def test_json_media_types_are_accepted(client: FlaskClient, media_type: str) -> None:
    raw = json.dumps({"data": EMAIL, "token": TOKEN}).encode()
    assert client.post("/api/message", data=raw, content_type=media_type).status_code == 200


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "gzip, identity", "identity, gzip", "zip", "*"])
@pytest.mark.parametrize("path", ALL)
def test_other_content_coding_is_415_and_names_the_supported_one(client: FlaskClient, path: str, coding: str) -> None:
    response = post(client, path, **{"Content-Encoding": coding})
    assert code_of(response) == "unsupported_media_type"
    assert response.headers["Accept-Encoding"] == "gzip"


def test_other_media_type_names_no_content_coding(client: FlaskClient) -> None:
    assert "Accept-Encoding" not in client.post("/api/message", data=b"{}", content_type="text/plain").headers


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "X-Gzip", " gzip "])
@pytest.mark.parametrize("path", ALL)
def test_compressed_email_is_queued_as_the_plain_one(service: Service, path: str, coding: str) -> None:
    raw = json.dumps({"data": [EMAIL] if path == "/api/messages" else EMAIL, "token": TOKEN}).encode()
    for body, headers in ((gzip.compress(raw), {"Content-Encoding": coding}), (raw, {})):
        response = service.client.post(path, data=body, content_type="application/json", headers=headers)
        assert response.status_code == 200
    compressed, plain = service.publisher.published
    assert compressed.body == plain.body


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_identity_is_no_coding(client: FlaskClient, coding: str) -> None:
    assert post(client, **{"Content-Encoding": coding}).status_code == 200


@pytest.mark.parametrize(("extra", "status"), [(0, 401), (1, 413)])
def test_too_large_body_is_413_before_it_is_parsed(client: FlaskClient, extra: int, status: int) -> None:
    raw = b'"' + b"a" * (MAX_REQUEST_BYTES - 2 + extra) + b'"'
    response = client.post("/api/message", data=raw, content_type="application/json")
    assert response.status_code == status
    code_of(response)


def email_of_size(size_bytes: int) -> dict[str, str]:
    """An e-mail whose message, attributes included, has exactly this size in SQS."""
    attributes = {
        "message_id": new_message_id(),
        "received_at": "2026-12-10T14:30:22.123Z",
        "source": "service1-api",
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-00",
    }
    around = len(json.dumps(EMAIL | {"email_content": ""}, separators=(",", ":"))) + sum(
        len(name) + len("String") + len(value) for name, value in attributes.items()
    )
    return EMAIL | {"email_content": "a" * (size_bytes - around)}


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
def test_message_above_the_sqs_limit_is_413(client: FlaskClient, extra: int, status: int) -> None:
    assert post(client, data=email_of_size(MAX_MESSAGE_BYTES + extra)).status_code == status


def test_email_past_the_sqs_limit_is_handed_over_as_a_payload_if_there_is_a_store() -> None:
    service = Service(max_payload_bytes=MAX_REQUEST_BYTES)
    email = email_of_size(MAX_MESSAGE_BYTES + 1)
    assert post(service.client, data=email).status_code == 200
    (message,) = service.publisher.published
    assert message.payload == encode_body(dict(sorted(email.items()))).encode()  # Flask's test client sorts names
    assert (message.body, message.size_bytes) == ("", MAX_MESSAGE_BYTES + 1)


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
def test_email_is_as_large_as_the_limit_of_payloads_at_most(extra: int, status: int) -> None:
    around = len(encode_body(EMAIL | {"email_content": ""}))
    email = EMAIL | {"email_content": "a" * (1_500_000 - around + extra)}
    response = post(Service(max_payload_bytes=1_500_000).client, data=email)
    assert response.status_code == status
    if status == 413:
        assert response.get_json()["detail"].endswith("1500000 bytes as compact JSON; this one has 1500001")


def test_each_item_of_a_batch_is_large_or_small_by_itself() -> None:
    service = Service(max_payload_bytes=MAX_REQUEST_BYTES)
    large = email_of_size(MAX_MESSAGE_BYTES + 1)
    assert post(service.client, "/api/messages", [EMAIL, large]).status_code == 200
    assert [message.payload is None for message in service.publisher.published] == [True, False]


def failing(error: PublishError, service: Service) -> Service:
    service.publisher.fail = lambda _message: error
    return service


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueueUnavailableError("ServiceUnavailable"), 503, "queue_unavailable"),
        (OverloadedError("too_many_waiting"), 503, "overloaded"),
        (StoreUnavailableError("store_timeout"), 503, "store_unavailable"),
        (MessageRefusedError("InvalidMessageContents"), 400, "invalid_data"),
    ],
)
@pytest.mark.parametrize("path", ALL)
def test_unconfirmed_email_gets_no_2xx(
    service: Service, path: str, error: PublishError, status: int, code: str
) -> None:
    response = post(failing(error, service).client, path, [EMAIL] if path == "/api/messages" else EMAIL)
    assert (response.status_code, code_of(response)) == (status, code)
    assert ("Retry-After" in response.headers) == (status == 503)


def test_requests_above_the_concurrency_limit_are_503(service: Service) -> None:
    answers: list[TestResponse] = []

    def occupy(depth: int) -> None:
        """Send a request while `depth` others are being handled."""
        service.publisher.fail = lambda _message: occupy(depth - 1) if depth else None
        answers.append(post(service.client))

    occupy(4)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 503]
    assert code_of(answers[0]) == "overloaded"


def test_an_email_of_the_probe_is_queued_like_any_other_and_counted_apart(service: Service) -> None:
    probe = new_probe_id()
    for message_id, sender in ((probe, PROBE_SENDER), (probe, "jane"), (new_message_id(), PROBE_SENDER)):
        data = EMAIL | {"email_sender": sender}
        assert post(service.client, data=data, **{"Idempotency-Key": message_id}).status_code == 200
    assert len(service.publisher.published) == 3
    values = [service.registry.get_sample_value(f"pillarbox_api_{name}_total") for name in ("probes", "published")]
    assert values == [1, 2]
