import re
from collections.abc import Callable

import pytest

from ..pipelines import Pipeline
from .pages import Page, links, shown
from .samples import put_letters


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()


def _number(text: str) -> str:
    found = re.search(r'name="number" value="([^"]+)"', text)
    assert found
    return found[1]


def test_all_queues_are_counted(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=2, broken=1)
    text = shown(page.get("/queues"))
    assert "E-mails 0 0 waiting, 0 in flight" in text
    assert "Dead letters 3 3 waiting" in text
    assert "<html" not in page.get("/queues?part=1").text


def test_dead_letters_are_shown_with_their_reasons(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=3, broken=2)
    answer = page.get("/queues/dead-letters")
    found = re.findall(r'class="reason[^"]*">(\w+)<', answer.text)
    assert found == ["redrivable"] * 3 + ["invalid_json", "not_an_email"]
    text = shown(answer)
    assert "All 5 redrivable 3" in text
    assert "Ada Park <ada@example.com>" in text
    only = page.get(links(answer, "invalid_json")[0])
    assert re.findall(r'class="reason[^"]*">(\w+)<', only.text) == ["invalid_json"]


def test_a_hostile_message_is_escaped(page: Page, pipeline: Pipeline) -> None:
    script = "<script>1</script>"
    attribute = {"DataType": "String", "StringValue": script}
    body = '{"email_sender": "<script>1</script>"}'
    pipeline.sqs.send_message(QueueUrl=pipeline.dlq_url, MessageBody=body, MessageAttributes={"source": attribute})
    answer = page.get("/queues/dead-letters")
    assert "<script>1" not in answer.text
    assert shown(answer).count(script) == 3


def test_a_redrive_is_confirmed_first_with_count_and_sample(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=7, broken=2)
    asked = page.post("/queues/dead-letters/plan", action="redrive", which="all", reason="redrivable")
    assert "Redrive 7 messages?" in shown(asked)
    assert shown(asked).count("redrivable,") == 5
    assert page.services.queues.depth(page.services.all_queues["dead-letters"]).total == 9
    number = _number(asked.text)
    assert "7 messages redriven" in shown(page.post("/queues/dead-letters/carry-out", number=number))
    assert page.services.queues.depth(page.services.all_queues["dead-letters"]).total == 2
    assert page.services.queues.depth(page.services.all_queues["emails"]).total == 7
    again = page.post("/queues/dead-letters/carry-out", 502, number=number)
    assert "already carried out" in shown(again)


def test_the_ticked_ones_are_deleted(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=3, broken=0)
    ids = re.findall(r'name="id" value="([^"]+)"', page.get("/queues/dead-letters").text)
    asked = page.post("/queues/dead-letters/plan", action="delete", which="ticked", id=ids[:2])
    assert "Delete 2 messages?" in shown(asked)
    assert "gone for good" in shown(asked)
    done = page.post("/queues/dead-letters/carry-out", number=_number(asked.text))
    assert "2 messages deleted" in shown(done)
    assert ids[2] in page.get("/queues/dead-letters").text


def test_a_redrive_of_what_cannot_be_stored_warns(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=0, broken=2)
    assert "will come back" in shown(page.post("/queues/dead-letters/plan", action="redrive", which="all"))


def test_nothing_ticked_is_said(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=1, broken=0)
    answer = page.post("/queues/dead-letters/plan", 409, action="delete", which="ticked")
    assert "Nothing was chosen" in shown(answer)


def test_only_dead_letters_can_be_changed(page: Page) -> None:
    page.post("/queues/emails/plan", 404, action="delete")
    page.get("/queues/nonsense", 404)


def test_on_aws_a_look_is_asked_for_and_says_what_it_spends(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=2, broken=1)
    pipeline.sqs.send_message(QueueUrl=pipeline.queue_url, MessageBody="waits")
    page.services.queues.is_free = False
    asked = shown(page.get("/queues/emails"))
    assert "uses one receive" in asked
    assert "No messages have been read yet" in asked
    assert "waits" in shown(page.post("/queues/emails/receive"))
    assert "redrivable 2" in shown(page.post("/queues/dead-letters/receive"))
    assert "Delete 3 messages?" in shown(page.post("/queues/dead-letters/plan", action="delete", which="all"))


def test_on_aws_the_reasons_are_buttons_and_lead_to_a_delete_by_reason(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=2, broken=1)
    page.services.queues.is_free = False
    every = page.post("/queues/dead-letters/receive")
    assert "?reason=" not in "".join(links(every, ""))
    tabs = re.findall(r'<button type="submit" formaction="([^"]+)"', every.text)
    assert tabs == [f"/queues/dead-letters/receive{end}" for end in ("", "?reason=redrivable", "?reason=not_an_email")]
    form = every.text.partition('aria-label="Reasons"')[2].partition("</form>")[0]
    assert f'name="csrf" value="{page.access.derived("form")}"' in form
    only = page.post(tabs[1])
    assert re.findall(r'class="reason[^"]*">(\w+)<', only.text) == ["redrivable"] * 2
    plan = only.text.partition('action="/queues/dead-letters/plan"')[2]
    assert re.findall(r'name="reason" value="(\w+)"', plan) == ["redrivable"]
    assert re.findall(r'name="action" value="(\w+)"', plan) == ["redrive", "delete"]
    asked = page.post("/queues/dead-letters/plan", action="delete", which="all", reason="redrivable")
    assert "Delete 2 messages?" in shown(asked)


def test_a_redrive_says_when_an_email_can_be_stored_twice(page: Page, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=1, broken=0)
    asked = page.post("/queues/dead-letters/plan", action="redrive", which="all")
    assert "with OBJECT_LAYOUT=batch a copy after a kill can be stored a second time" in shown(asked)


def test_an_empty_queue_says_why(page: Page) -> None:
    assert "Nothing is waiting" in shown(page.get("/queues/emails"))
    assert "No dead letters" in shown(page.get("/queues/dead-letters"))


def test_a_page_without_queues_says_what_to_set(new_page: Callable[..., Page]) -> None:
    text = shown(new_page(SQS_QUEUE_URL="", SQS_DLQ_URL="").get("/queues"))
    assert "No queue is known" in text
    assert "SQS_QUEUE_URL" in text


def test_what_aws_refuses_is_shown_in_one_line(new_page: Callable[..., Page], pipeline: Pipeline) -> None:
    page = new_page(SQS_QUEUE_URL=f"{pipeline.queue_url}-gone")
    assert "AWS refused GetQueueAttributes" in shown(page.get("/queues", 502))
