"""The Idempotency-Key: which keys are accepted, and the message ids that derive from them."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from pillarbox.ids import message_id_at, new_message_id, parse_message_id, time_of

from .conftest import Service
from .test_messages import EMAIL, code_of, post


def test_idempotency_key_becomes_the_message_id(service: Service) -> None:
    key = new_message_id().upper()
    ids = [post(service.client, **{"Idempotency-Key": key}).get_json()["message_id"] for _ in range(2)]
    assert ids == [key.lower()] * 2


def test_batch_ids_derive_from_the_key_and_the_position(service: Service) -> None:
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
        (-timedelta(minutes=30), 400),  # the limit is 5 minutes; a slow test must not fall below it
    ],
)
def test_key_time_is_bounded(client: FlaskClient, age: timedelta, status: int) -> None:
    key = message_id_at(datetime.now(UTC) - age, bytes(10))
    assert post(client, **{"Idempotency-Key": key}).status_code == status


def test_quoted_key_is_accepted(service: Service) -> None:
    key = new_message_id()
    assert post(service.client, **{"Idempotency-Key": f'"{key}"'}).get_json()["message_id"] == key


# The same in every process, because parallel workers compare the names of the tests.
VALID_KEY = message_id_at(datetime(2026, 12, 1, tzinfo=UTC), bytes(10))


@pytest.mark.parametrize(
    "key",
    [
        *("", "7", '"', '""', "00000000-0000-4000-8000-000000000000"),
        *(form.format(VALID_KEY) for form in ('"{}', "'{}'", "{{{}}}", '"{}";a=1')),
    ],
)
def test_key_other_than_uuidv7_is_refused(client: FlaskClient, key: str) -> None:
    assert code_of(post(client, **{"Idempotency-Key": key})) == "invalid_idempotency_key"
