from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox_ops.errors import OpsError
from pillarbox_ops.ui import posting
from pillarbox_ops.ui.posting import post

from .fake_services import TOKEN, FakeServices, running_services

FIELDS = {"email_subject": " ", "email_sender": "jane", "email_timestream": "1693561101", "email_content": "x"}
MESSAGE_ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"


@pytest.fixture
def services() -> Iterator[FakeServices]:
    with running_services() as running:
        yield running


def test_an_accepted_email_has_an_id(services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "take", lambda fields: f"id of {fields['email_subject']}")
    answer = post(services.url + "/", TOKEN, FIELDS | {"email_subject": "Hello"}, MESSAGE_ID)
    assert (answer.message_id, answer.problems) == ("id of Hello", None)


def test_the_message_id_is_sent_as_idempotency_key(services: FakeServices) -> None:
    post(services.url, TOKEN, FIELDS, MESSAGE_ID)
    assert services.posted == [(f'"{MESSAGE_ID}"', FIELDS)]


def test_a_refused_field_is_named(services: FakeServices) -> None:
    assert post(services.url, TOKEN, FIELDS, MESSAGE_ID).problems == {"email_subject": "must not be blank"}


def test_a_refused_request_says_why(services: FakeServices) -> None:
    answer = post(services.url, "wrong", FIELDS, MESSAGE_ID)
    assert answer.problems == {"": "The token is missing or wrong (unauthorized)"}


def test_no_answer_is_an_error_without_the_token() -> None:
    with pytest.raises(OpsError, match="does not answer") as raised:
        post("http://127.0.0.1:1", TOKEN, FIELDS, MESSAGE_ID)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("errors", [None, "x", ["x"], [{}], [{"pointer": 7}]])
def test_a_problem_of_another_shape_is_still_shown(errors: Any) -> None:
    found = posting._problems(418, {"errors": errors, "title": "A teapot"})
    assert list(found) == [""]
