import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.test import TestResponse

from pillarbox.ids import parse_idempotency_key, time_of

from ..pipelines import Pipeline
from .fake_services import TOKEN, FakeServices
from .pages import Page, shown

FIELDS = {"email_sender": "jane@example.com", "email_subject": "From the form", "email_content": "One\r\ntwo"}


def _message_id(answer: TestResponse) -> str:
    (found,) = re.findall(r'name="message_id" value="([^"]+)"', answer.text)
    return str(found)


def test_a_sent_email_leads_to_its_page(new_page: Callable[..., Page], fakes: FakeServices, pipeline: Pipeline) -> None:
    page = new_page(API_URL=fakes.url, API_TOKEN=TOKEN)
    answer = page.post("/send", 303, **FIELDS)
    text = shown(page.get(answer.headers["Location"]))
    assert "From the form" in text
    assert "One two" in text


def test_a_refused_email_keeps_what_was_written_and_names_the_field(
    new_page: Callable[..., Page], fakes: FakeServices
) -> None:
    page = new_page(API_URL=fakes.url, API_TOKEN=TOKEN)
    answer = page.post("/send", 400, **FIELDS | {"email_subject": " "})
    assert "must not be blank" in shown(answer)
    assert 'value="jane@example.com"' in answer.text
    assert 'aria-describedby="email_subject-problem"' in answer.text


def test_a_form_that_is_sent_twice_is_the_same_email_under_the_same_id(
    new_page: Callable[..., Page], fakes: FakeServices
) -> None:
    page = new_page(API_URL=fakes.url, API_TOKEN=TOKEN)
    message_id = _message_id(page.get("/send"))
    times = iter(datetime.now(UTC) + timedelta(seconds=seconds) for seconds in range(60, 1000, 60))
    page.services.now = lambda: next(times)
    for _ in range(2):
        page.post("/send", 303, **FIELDS, message_id=message_id)
    first, second = fakes.posted
    assert first == second
    assert first[0] == f'"{message_id}"'
    assert int(first[1]["email_timestream"]) == int(time_of(message_id).timestamp())


def test_the_id_stays_in_the_answer_with_problems_and_the_next_form_has_a_new_one(
    new_page: Callable[..., Page], fakes: FakeServices
) -> None:
    page = new_page(API_URL=fakes.url, API_TOKEN=TOKEN)
    message_id = _message_id(page.get("/send"))
    refused = page.post("/send", 400, **FIELDS | {"email_subject": " "}, message_id=message_id)
    assert _message_id(refused) == message_id
    page.post("/send", 303, **FIELDS, message_id=message_id)
    assert _message_id(page.get("/send")) != message_id


@pytest.mark.parametrize(
    "given", ["", "x", "019b0a3c-8b8e-4c3a-9a51-0f2d4c6e8a10", "01890a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"]
)
def test_an_id_that_the_api_would_refuse_is_replaced(
    new_page: Callable[..., Page], fakes: FakeServices, given: str
) -> None:
    page = new_page(API_URL=fakes.url, API_TOKEN=TOKEN)
    page.post("/send", 303, **FIELDS, message_id=given)
    ((sent, _),) = fakes.posted
    assert parse_idempotency_key(sent, datetime.now(UTC)) != given


def test_without_a_known_token_the_form_asks_for_it_and_never_shows_it(
    new_page: Callable[..., Page], fakes: FakeServices
) -> None:
    page = new_page(API_URL=fakes.url)
    assert 'type="password"' in page.get("/send").text
    assert "needs a token" in shown(page.post("/send", 400, **FIELDS))
    page.post("/send", 303, **FIELDS, token=TOKEN)
    refused = page.post("/send", 400, **FIELDS, token="wrong-token")
    assert "The token is missing or wrong" in shown(refused)
    assert "wrong-token" not in refused.text


def test_an_api_that_does_not_answer_or_is_not_known_says_what_to_do(page: Page, new_page: Callable[..., Page]) -> None:
    assert "API_URL" in shown(page.get("/send"))
    silent = new_page(API_URL="http://127.0.0.1:1", API_TOKEN=TOKEN)
    assert "does not answer: is it running" in shown(silent.post("/send", 400, **FIELDS))


def test_the_figures_are_drawn_with_their_latest_values(new_page: Callable[..., Page], fakes: FakeServices) -> None:
    page = new_page(API_URL=fakes.url, CONSUMER_URL=fakes.url)
    page.services.sampler.sample()
    fakes.accepted, fakes.waiting = 50, 12
    fakes.count_stored(50)
    page.services.sampler.sample()
    answer = page.get("/figures")
    assert 'aria-label="Queue: waiting now 12, at most 12; in flight now 3, at most 3"' in answer.text
    assert "median 25 ms" in shown(answer)
    assert answer.text.count("<svg viewBox") == 3
    assert "<html" not in page.get("/figures?part=1").text


def test_a_service_that_does_not_answer_is_named_with_what_to_do(new_page: Callable[..., Page]) -> None:
    page = new_page(API_URL="http://127.0.0.1:1")
    page.services.sampler.sample()
    text = shown(page.get("/figures"))
    assert "service1-api does not answer at http://127.0.0.1:1/metrics" in text
    assert "service2-consumer is not read: CONSUMER_URL is not set" in text
    assert "no figures yet" in text


def test_without_addresses_the_figures_say_what_to_set(page: Page) -> None:
    assert "No service addresses" in shown(page.get("/figures"))


def test_the_keys_are_listed_without_javascript_too(page: Page) -> None:
    assert "Back to the list" in shown(page.get("/keys"))
