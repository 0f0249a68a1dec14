"""POST /api/messages, and the Idempotency-Key of every route."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from pillarbox.ids import message_id_at, new_message_id, parse_message_id, time_of
from service1_api.publisher import QueueUnavailableError

from .conftest import Service
from .test_messages import EMAIL, code_of, failing, post


def test_a_batch_answers_item_by_item_in_order(service: Service) -> None:
    response = post(service.client, "/api/messages", [EMAIL, {"email_subject": 7}, EMAIL | {"n": 2}])

    assert response.status_code == 207
    body = response.get_json()
    assert (body["status"], body["queued"]) == ("partial", 2)
    assert [(r["index"], r["status"]) for r in body["results"]] == [(0, "success"), (1, "error"), (2, "success")]
    assert body["results"][1]["problem"]["errors"][0]["pointer"] == "#/data/1/email_subject"
    assert [m.attributes["message_id"] for m in service.publisher.published] == [
        body["results"][0]["message_id"],
        body["results"][2]["message_id"],
    ]


@pytest.mark.parametrize("count", [1, 100])
def test_a_batch_that_is_queued_whole_is_200(service: Service, count: int) -> None:
    response = post(service.client, "/api/messages", [EMAIL] * count)
    assert response.status_code == 200
    assert response.get_json()["queued"] == count
    assert len({m.attributes["message_id"] for m in service.publisher.published}) == count


@pytest.mark.parametrize("data", [[], [EMAIL] * 101, EMAIL, None])
def test_a_batch_holds_1_to_100_emails(service: Service, data: object) -> None:
    response = post(service.client, "/api/messages", data)
    assert code_of(response) == "invalid_data"
    assert not service.publisher.published


def test_a_batch_of_which_nothing_was_queued_is_503_if_a_retry_may_help(service: Service) -> None:
    failing(QueueUnavailableError("deadline"), service)
    response = post(service.client, "/api/messages", [{}, EMAIL])
    assert code_of(response) == "queue_unavailable"
    assert [r["problem"]["code"] for r in response.get_json()["results"]] == ["invalid_data", "queue_unavailable"]


def test_a_batch_of_wrong_items_alone_is_400_and_calls_no_queue(service: Service) -> None:
    assert code_of(post(service.client, "/api/messages", [{}, 7])) == "invalid_data"
    assert not service.publisher.published


def test_an_idempotency_key_becomes_the_message_id(service: Service) -> None:
    key = new_message_id().upper()
    ids = [post(service.client, **{"Idempotency-Key": key}).get_json()["message_id"] for _ in range(2)]
    assert ids == [key.lower()] * 2


def test_the_ids_of_a_batch_derive_from_the_key_and_the_position(service: Service) -> None:
    key = new_message_id()
    answers = [
        post(service.client, "/api/messages", data, **{"Idempotency-Key": key}).get_json()["results"]
        for data in ([EMAIL] * 3, [EMAIL, {}, EMAIL])
    ]
    ids = [[result["message_id"] for result in results] for results in answers]
    assert ids[0] == ids[1]
    assert len({*ids[0], key}) == 4
    assert {time_of(parse_message_id(message_id)) for message_id in ids[0]} == {time_of(key)}


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(days=13, hours=23), 200),
        (timedelta(days=14, minutes=1), 400),
        (-timedelta(minutes=4), 200),
        (-timedelta(minutes=30), 400),  # the limit is 5 minutes; a test that is held up must not come below it
    ],
)
def test_the_time_of_a_key_is_bounded(client: FlaskClient, age: timedelta, status: int) -> None:
    key = message_id_at(datetime.now(UTC) - age, bytes(10))
    assert post(client, **{"Idempotency-Key": key}).status_code == status


def test_a_key_in_quotes_is_taken_too(service: Service) -> None:
    key = new_message_id()
    assert post(service.client, **{"Idempotency-Key": f'"{key}"'}).get_json()["message_id"] == key


# The same in every process, for parallel workers compare the names of the tests.
VALID_KEY = message_id_at(datetime(2026, 12, 1, tzinfo=UTC), bytes(10))


@pytest.mark.parametrize(
    "key",
    [
        *("", "7", '"', '""', "00000000-0000-4000-8000-000000000000"),
        *(form.format(VALID_KEY) for form in ('"{}', "'{}'", "{{{}}}", '"{}";a=1')),
    ],
)
def test_a_key_that_is_no_uuidv7_is_refused(client: FlaskClient, key: str) -> None:
    assert code_of(post(client, **{"Idempotency-Key": key})) == "invalid_idempotency_key"
