"""The whole pipeline with real processes: an e-mail over HTTP becomes one object in S3."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from common.testing.waiting import eventually
from e2e_test.conftest import EMAIL, Answer, Pipeline
from local_stack.provision import TOKEN_PARAMETER, client

EVERY_CHARACTER = "".join(chr(code) for code in range(0x3000) if not 0xD800 <= code <= 0xDFFF)
CONTENTS = {
    "emoji": "👩🏽‍🚀🎄 \U0010ffff",
    "right-to-left": "שלום \u202e\u0645\u0631\u062d\u0628\u0627\u202c",
    "controls": "".join(map(chr, range(1, 0x20))) + "\x7f\x85",
    "nul": "a\x00b",
    "non-characters": "\ufffe\uffff\ufdd0\U0001fffe",
    "line ends": "a\r\nb\nc\rd\u2028e\u2029f",
    "json in json": '{"token": "\\u0000", \\"x\\"}',
    "every one of the first": EVERY_CHARACTER,
    "900 KB": "0123456789" * 90_000,
    "900 KB of emoji": "😀" * 225_000,
}


def object_day(message_id: str) -> str:
    return f"{datetime.fromtimestamp(int(message_id.replace('-', '')[:12], 16) / 1000, UTC):%Y/%m/%d}"


@pytest.mark.parametrize("path", ["/api/message", "/process"])
def test_the_documented_request_is_stored_with_its_fields_unchanged(pipeline: Pipeline, path: str) -> None:
    answer = pipeline.post(EMAIL, path)
    assert answer.status == 200
    assert answer.body["status"] == "success"
    assert answer.body["message"] == "Email data processed and queued"
    message_id = answer.body["message_id"]
    key = pipeline.wait_stored(message_id)
    assert key == f"messages/{object_day(message_id)}/{message_id}.json"
    record = pipeline.record(key)
    assert record["message_id"] == message_id
    assert record["email_data"] == EMAIL
    assert record["metadata"]["source"] == "service1-api"


def test_a_client_that_waits_is_told_that_its_email_is_archived(pipeline: Pipeline) -> None:
    posted = pipeline.post(EMAIL)
    message_id = posted.body["message_id"]
    assert posted.headers["location"] == f"/api/messages/{message_id}"
    asked = {"Authorization": f"Bearer {pipeline.token}", "Prefer": "wait=5"}

    def archived() -> Answer | None:  # on a busy machine, one request of 5 s may not be enough
        answer = pipeline.request(posted.headers["location"], headers=asked)
        assert answer.headers["preference-applied"] == "wait=5"
        return answer if answer.status == 200 else None

    answer = eventually(archived, "the e-mail is archived")
    stored = pipeline.s3.head_object(Bucket=pipeline.bucket, Key=pipeline.wait_stored(message_id))
    assert answer.body == {
        "message_id": message_id,
        "status": "archived",
        "archived_at": f"{stored['LastModified']:%Y-%m-%dT%H:%M:%S.000Z}",
        "size": stored["ContentLength"],
        "sha256": stored["Metadata"]["email-sha256"],
        "conflict": False,
    }


def test_a_second_email_under_an_id_is_told_as_a_conflict(pipeline: Pipeline) -> None:
    message_id = pipeline.post(EMAIL).body["message_id"]
    pipeline.wait_stored(message_id)
    body = json.dumps({"data": {**EMAIL, "email_content": "another"}, "token": pipeline.token}).encode()
    assert pipeline.request("/api/message", body, {"Idempotency-Key": message_id}).status == 200
    asked = {"Authorization": f"Bearer {pipeline.token}"}
    path = f"/api/messages/{message_id}"
    eventually(lambda: pipeline.request(path, headers=asked).body["conflict"], "the conflict is told")
    for key in pipeline.keys(f"conflicts/{object_day(message_id)}/{message_id}/"):  # other tests expect none
        pipeline.s3.delete_object(Bucket=pipeline.bucket, Key=key)


def test_the_documented_token_works_once_it_is_the_one_in_ssm(pipeline: Pipeline) -> None:
    token = "$DJISA<$#45ex3RtYr"
    environment = pipeline.stack.environment
    ssm = client(environment, "ssm")
    ssm.put_parameter(Name=TOKEN_PARAMETER, Value=f"{pipeline.token}\n{token}", Type="SecureString", Overwrite=True)
    body = json.dumps({"data": EMAIL, "token": token}).encode()

    def accepted() -> bool:
        answer = pipeline.request("/api/message", body)
        assert answer.status in {200, 401}
        return answer.status == 200

    eventually(accepted, "the token is accepted")
    assert pipeline.request("/process", body).status == 200
    ssm.close()


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_content_of_every_kind_arrives_equal_as_json(pipeline: Pipeline, content: str) -> None:
    email = {**EMAIL, "email_content": content, "email_subject": f"re: {content[:50]}"}
    answer = pipeline.post(email)
    assert answer.status == 200, answer.body
    assert pipeline.record(pipeline.wait_stored(answer.body["message_id"]))["email_data"] == email


def test_fields_beyond_the_four_arrive_with_every_digit(pipeline: Pipeline) -> None:
    extra: dict[str, Any] = {
        "large": 2**70,
        "small": -0.1,
        "nested": {"a": [None, True, {"b": 1e300}]},
        "": "empty name",
    }
    answer = pipeline.post({**extra, **EMAIL})
    assert answer.status == 200
    record = pipeline.record(pipeline.wait_stored(answer.body["message_id"]))
    assert repr(record["email_data"]) == repr({**extra, **EMAIL})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"data": {"email_content": "\\ud800"}, "token": "TOKEN"}', 400),
        (b'{"data": {"x": 0.1000000000000000000001}, "token": "TOKEN"}', 400),
        (b'{"data": {"x": ' + b"[" * 80 + b"]" * 80 + b'}, "token": "TOKEN"}', 400),
        (b'{"data": {"x": 1, "x": 2}, "token": "TOKEN"}', 400),
        (b'{"data": {"x": "\xff"}, "token": "TOKEN"}', 400),
        (b"not json", 400),
        (b"", 400),
        (b" " * (2 * 1024 * 1024 + 1), 413),
        (json.dumps({"data": EMAIL, "token": "wrong"}).encode(), 401),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused_with_a_problem(pipeline: Pipeline, body: bytes, status: int) -> None:
    answer = pipeline.request("/api/message", body.replace(b"TOKEN", pipeline.token.encode()))
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["code"]


def test_a_message_without_attributes_is_stored_under_its_sqs_id(pipeline: Pipeline) -> None:
    sent = pipeline.sqs.send_message(QueueUrl=pipeline.queue_url, MessageBody=json.dumps(EMAIL))
    record = pipeline.record(pipeline.wait_stored(sent["MessageId"]))
    assert record["message_id"] == sent["MessageId"]
    assert record["email_data"] == EMAIL


def test_a_message_sent_twice_gives_one_object(pipeline: Pipeline) -> None:
    message_id = f"{int(time.time() * 1000):012x}"
    message_id = (
        f"{message_id[:8]}-{message_id[8:]}-7{uuid.uuid4().hex[:3]}-8{uuid.uuid4().hex[:3]}-{uuid.uuid4().hex[:12]}"
    )
    attributes: Any = {"message_id": {"DataType": "String", "StringValue": message_id}}
    for _ in range(2):
        pipeline.sqs.send_message(
            QueueUrl=pipeline.queue_url, MessageBody=json.dumps(EMAIL), MessageAttributes=attributes
        )
    key = pipeline.wait_stored(message_id)
    pipeline.wait_drained()
    assert [name for name in pipeline.keys("") if message_id in name] == [key]


def test_a_message_that_is_no_email_ends_in_the_dead_letter_queue(pipeline: Pipeline) -> None:
    before = pipeline.dead_letters()
    pipeline.sqs.send_message(QueueUrl=pipeline.queue_url, MessageBody="not an e-mail")
    eventually(lambda: pipeline.dead_letters() == before + 1, "the message is in the dead-letter queue")
    pipeline.wait_drained()


def post_many(pipeline: Pipeline, count: int, clients: int = 16) -> dict[str, dict[str, str]]:
    """Post `count` different e-mails from several clients; return them by message id."""

    def post(number: int) -> tuple[str, dict[str, str]]:
        email = {**EMAIL, "email_subject": f"number {number}", "email_content": f"{number} " * 200}
        answer = pipeline.post(email)
        assert answer.status == 200, answer.body
        return answer.body["message_id"], email

    with ThreadPoolExecutor(clients) as threads:
        posted = dict(threads.map(post, range(count)))
    assert len(posted) == count
    return posted


def assert_each_stored_once(pipeline: Pipeline, posted: dict[str, dict[str, str]]) -> None:
    pipeline.wait_drained()
    records = pipeline.records(set(posted))
    assert len(records) == len(posted)
    assert {record["message_id"]: record["email_data"] for record in records} == posted
    assert pipeline.keys("conflicts/") == []


@pytest.mark.faults
def test_a_thousand_emails_of_sixteen_clients_are_a_thousand_objects(pipeline: Pipeline) -> None:
    assert_each_stored_once(pipeline, post_many(pipeline, 1000))


@pytest.mark.faults
def test_a_consumer_stopped_in_the_middle_exits_0_and_loses_nothing(pipeline: Pipeline) -> None:
    with ThreadPoolExecutor(1) as background:
        posting = background.submit(post_many, pipeline, 400)
        before = len(pipeline.keys())
        eventually(lambda: len(pipeline.keys()) > before + 50, "50 e-mails are stored")
        assert pipeline.stack.consumer.stop(timeout_seconds=20) == 0
        pipeline.stack.consumer.start()
        pipeline.stack.consumer.wait_ready(30)
        assert_each_stored_once(pipeline, posting.result())


@pytest.mark.faults
def test_a_consumer_killed_in_the_middle_loses_nothing(pipeline: Pipeline) -> None:
    with ThreadPoolExecutor(1) as background:
        posting = background.submit(post_many, pipeline, 400)
        before = len(pipeline.keys())
        eventually(lambda: len(pipeline.keys()) > before + 50, "50 e-mails are stored")
        pipeline.stack.consumer.kill()
        pipeline.stack.consumer.wait(10)
        pipeline.stack.consumer.start()
        pipeline.stack.consumer.wait_ready(30)
        assert_each_stored_once(pipeline, posting.result())
