import json
from collections.abc import Callable
from email.message import EmailMessage
from hashlib import sha256
from urllib.parse import quote

import pytest

from pillarbox_ops.ui.access import EMAIL_POLICY

from ..pipelines import Pipeline
from .fake_archive import NOON, FakeArchive
from .pages import Page, links, shown
from .samples import put, put_html

SCRIPT = "<script>document.title='ran'</script>"


def _fields(**fields: str) -> dict[str, str]:
    return {"email_subject": "Hello", "email_sender": "jane@example.com", "email_content": "The text"} | fields


def test_an_email_is_shown_with_its_facts(page: Page, fake: FakeArchive) -> None:
    message_id = put(fake, NOON, 1, _fields(extra="more"))
    text = shown(page.get(f"/email?id={message_id}"))
    for part in ("Hello", "jane@example.com", "The text", message_id, f"messages/2026/11/28/{message_id}.json", "more"):
        assert part in text
    assert "Trace id" in text


def test_its_subject_is_the_title_as_text_without_tags(page: Page, fake: FakeArchive) -> None:
    message_id = put(fake, NOON, 1, _fields(email_subject="<b>\u202e" + "x" * 100))
    text = page.get(f"/email?id={message_id}").text
    assert f"<title>&lt;b&gt;\\u202e{'x' * 76}… \u2013 Pillarbox</title>" in text


def test_its_json_is_shown_and_saved(page: Page, fake: FakeArchive) -> None:
    message_id = put(fake, NOON, 1, _fields())
    assert '"email_subject": "Hello"' in shown(page.get(f"/email?id={message_id}&view=json"))
    saved = page.get(f"/email/record?id={message_id}")
    assert json.loads(saved.data)["message_id"] == message_id
    assert saved.headers["Content-Disposition"].startswith(f'attachment; filename="{message_id}.json"')
    assert saved.headers["Content-Type"] == "application/octet-stream"


def test_html_is_in_a_sandbox_under_a_policy_of_its_own(page: Page, fake: FakeArchive) -> None:
    answer = page.get(f"/email?id={put_html(fake, NOON)}")
    frame = answer.text.partition("<iframe")[2].partition(">")[0]
    assert " sandbox " in frame
    assert "allow" not in frame
    inner = page.get(frame.partition('src="')[2].partition('"')[0].replace("&amp;", "&"))
    assert inner.headers["Content-Security-Policy"] == EMAIL_POLICY
    assert "<h1>Thank you for your order</h1>" in inner.text


def test_html_is_the_first_view_only_of_an_email_that_is_html(page: Page, fake: FakeArchive) -> None:
    message_id = put(fake, NOON, 1, _fields(email_content="<p>no html</p>"))
    answer = page.get(f"/email?id={message_id}&view=html")
    assert "<iframe" not in answer.text
    assert "<p>no html</p>" in shown(answer)
    assert "<iframe" not in page.get(f"/email?id={put_html(fake, NOON)}&view=text").text


def test_an_email_of_scripts_is_shown_and_never_part_of_the_page(page: Page, fake: FakeArchive) -> None:
    fields = dict.fromkeys(("email_subject", "email_sender", "email_content", SCRIPT, "email_timestream"), SCRIPT)
    attachments = [{"file_name": SCRIPT, "content_type": SCRIPT, "size_bytes": SCRIPT, "sha256": SCRIPT}]
    metadata = dict.fromkeys(("trace_id", "source", "sqs_message_id", "processor_version"), SCRIPT)
    metadata |= {"source_object": {"bucket": SCRIPT, "key": SCRIPT}, "defects": [SCRIPT]}  # type: ignore[dict-item]
    message_id = put(fake, NOON, 1, fields, attachments=attachments, metadata=metadata)
    for path in (
        "/day/2026-11-28",
        "/search?q=after:2026-11-28",
        *(f"/email?id={message_id}&view={v}" for v in ("text", "json")),
    ):
        answer = page.get(path)
        assert "<script>" not in answer.text.replace('<script src="/static/app.js" defer></script>', "")
        assert "ran" in shown(answer)


def test_a_conflict_is_named_and_shown(page: Page, fake: FakeArchive) -> None:
    answer = page.get(f"/email?id={put_html(fake, NOON)}")
    assert "1 conflict" in shown(answer)
    other = page.get(links(answer, "stored 20")[0])
    assert "Another one under this id" in shown(other)
    assert "This is a conflict" in shown(other)
    assert "Order 48211" in shown(page.get(links(other, "The first one")[0]))


def test_the_neighbours_are_one_step_away(page: Page, fake: FakeArchive) -> None:
    first, second = (put(fake, NOON, number, _fields(email_subject=f"No {number}")) for number in (1, 2))
    older = page.get(links(page.get(f"/email?id={second}"), "Older")[0])
    assert "No 1" in shown(older)
    assert links(older, "Older") == []
    assert second in links(page.get(f"/email?id={first}"), "Newer")[0]


def test_an_email_that_is_not_there_says_what_to_do(page: Page) -> None:
    assert "Not archived yet" in shown(page.get("/email?id=019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10", 404))
    page.get("/email?id=nonsense", 404)
    page.get("/email", 404)


@pytest.mark.parametrize("key", ["health/service2-consumer", "other/x", "/etc/passwd"])
def test_only_the_archive_is_read(page: Page, fake: FakeArchive, key: str) -> None:
    fake.s3.put_object(Bucket=fake.bucket, Key="health/service2-consumer", Body=b"x")
    page.get(f"/email?key={quote(key, safe='')}", 404)
    page.get(f"/email/record?key={quote(key, safe='')}", 404)


def test_an_object_that_is_no_record_is_an_error_that_names_it(page: Page, fake: FakeArchive) -> None:
    fake.s3.put_object(Bucket=fake.bucket, Key="messages/2026/11/28/note.txt", Body=b"x")
    assert "note.txt is not a record" in shown(page.get("/email?key=messages/2026/11/28/note.txt", 502))


def test_an_attachment_that_a_client_embedded_is_saved(page: Page, fake: FakeArchive) -> None:
    attached = [{"filename": "a.txt", "content": "aGVsbG8="}]
    fields = {**_fields(), "attachments": attached}
    answer = page.get(f"/email?id={put(fake, NOON, 1, fields)}")
    assert page.get(links(answer, "a.txt")[0]).data == b"hello"


def _put_file(pipeline: Pipeline, name: str) -> str:
    message = EmailMessage()
    message["From"] = "jane@example.com"
    message.set_content("Text")
    message.add_attachment(b"<script>1</script>", maintype="text", subtype="html", filename=name)
    pipeline.s3.create_bucket(
        Bucket=f"inbox-{pipeline.name}", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    pipeline.s3.put_object(Bucket=f"inbox-{pipeline.name}", Key="inbox/a.eml", Body=bytes(message))
    digest = sha256(b"<script>1</script>").hexdigest()
    attachments = [{"file_name": name, "content_type": "text/html", "size_bytes": 18, "sha256": digest}]
    source = {"source_object": {"bucket": f"inbox-{pipeline.name}", "key": "inbox/a.eml"}}
    return put(pipeline, NOON, 1, _fields(), attachments=attachments, metadata=source)


def test_an_attachment_is_saved_and_never_shown(new_page: Callable[..., Page], pipeline: Pipeline) -> None:
    message_id = _put_file(pipeline, "b/ä.html")
    page = new_page(INBOX_BUCKET_NAME=f"inbox-{pipeline.name}")
    answer = page.get(links(page.get(f"/email?id={message_id}"), "ä.html")[0])
    assert answer.data == b"<script>1</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=\"b__.html\"; filename*=UTF-8''b_%C3%A4.html")
    for number in ("1", "x", "-1", ""):
        page.get(f"/email/attachment?id={message_id}&number={number}", 404)


def test_a_file_outside_of_the_known_inbox_is_not_read(new_page: Callable[..., Page], pipeline: Pipeline) -> None:
    page = new_page()
    message_id = _put_file(pipeline, "a.html")
    assert "INBOX_BUCKET_NAME" in shown(page.get(f"/email/attachment?id={message_id}&number=0", 502))


def test_a_file_that_is_gone_is_an_error_that_names_it(new_page: Callable[..., Page], pipeline: Pipeline) -> None:
    message_id = _put_file(pipeline, "a.html")
    pipeline.s3.delete_object(Bucket=f"inbox-{pipeline.name}", Key="inbox/a.eml")
    page = new_page(INBOX_BUCKET_NAME=f"inbox-{pipeline.name}")
    assert "inbox/a.eml does not exist any more" in shown(page.get(f"/email/attachment?id={message_id}&number=0", 502))
