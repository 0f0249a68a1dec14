"""E-mails and dead letters to look at: the same ones in every run. Names and addresses are those of RFC 2606."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pillarbox.ids import message_id_at

from ..pipelines import Pipeline


class Bucket(Protocol):
    """Where e-mails are put: a pipeline, or an archive in memory."""

    bucket: str
    s3: Any


_SENDERS = [
    "Ada Park <ada@example.com>",
    "Orders <orders@shop.example>",
    "no-reply@bank.example",
    "Jonas Weiß <jonas@example.org>",
    "Builds <ci@builds.example>",
    "Мария <maria@example.net>",
    "lin@example.com",
    "Alerts <alerts@monitoring.example>",
]
_SUBJECTS = [
    ("Your order {n} has been shipped", "Hello,\n\nyour parcel left our house this morning.\n\nThe shop"),
    ("Invoice {n}", "Dear customer,\n\nhere is the invoice for November. It is due within 30 days.\n\nKind regards"),
    ("Build {n} failed", "1 failed, 812 passed in 41.3 s\n\nFAILED tests/test_queue.py::test_the_queue_is_drained"),
    ("Re: Meeting on Thursday", "Thursday at ten suits me. Shall we take the small room?\n\n> How about Thursday?\n"),
    ("Monthly statement is ready", "Your statement for account ending in {n} can be downloaded now."),
    ("Einladung zum Sommerfest", "Liebe Kolleginnen und Kollegen,\n\nam Freitag grillen wir im Hof. Kommt alle!"),
    ("[resolved] Disk usage on db-{n}", "Disk usage on db-{n} fell below 80 %. The alert is resolved."),
    ("Приглашение на встречу", "Здравствуйте! Встреча состоится в пятницу в десять часов."),
    ("A long subject that goes on and on, so that one can see what happens to text without room", "Short."),
]
_HTML = """<html><head><style>
body { font: 16px/1.5 sans-serif; color: #222; margin: 24px } h1 { color: #075 } td { padding: 4px 16px 4px 0 }
</style></head><body><h1>Thank you for your order</h1><p>Order <b>48211</b> is on its way.</p>
<table><tr><td>Letter paper, 100 sheets</td><td>9.80</td></tr><tr><td>Stamps</td><td>16.00</td></tr>
<tr><td><b>Total</b></td><td><b>25.80</b></td></tr></table>
<p><img src="https://tracker.example/pixel.png" alt="(a remote picture, blocked)"></p></body></html>"""


def record(own_id: str, fields: dict[str, Any], received_at: datetime, **more: Any) -> dict[str, Any]:
    """Return a record as service2-consumer writes it."""
    stamp = f"{received_at:%Y-%m-%dT%H:%M:%S}.{received_at.microsecond // 1000:03d}Z"
    metadata = {
        "processor_version": "0.1.0",
        "source": "service1-api",
        "received_at": stamp,
        "sqs_message_id": own_id[::-1].replace("-", "")[:8] + "-1111-4222-8333-444455556666",
        "trace_id": own_id.replace("-", "")[::-1],
    }
    return {
        "message_id": own_id,
        "processed_at": f"{received_at:%Y-%m-%dT%H:%M:%SZ}",
        "email_data": {"email_timestream": str(int(received_at.timestamp())), **fields},
        "metadata": metadata | more.pop("metadata", {}),
        **more,
    }


def message_id(received_at: datetime, number: int) -> str:
    """Return the id of an e-mail that `put` gives it."""
    return message_id_at(received_at, number.to_bytes(10, "big"))


def put(pipeline: Bucket, received_at: datetime, number: int, fields: dict[str, Any], **more: Any) -> str:
    """Put an e-mail into the archive and return its id, which `number` makes distinct."""
    own_id = message_id(received_at, number)
    body = json.dumps(record(own_id, fields, received_at, **more)).encode()
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=f"messages/{received_at:%Y/%m/%d}/{own_id}.json", Body=body)
    return own_id


def fill(pipeline: Bucket, now: datetime, count: int) -> list[str]:
    """Put so many e-mails of the seconds before `now`, seven a minute, and return their ids, the newest first."""
    chance = random.Random(7)  # noqa: S311  no secret

    def one(number: int) -> str:
        subject, content = _SUBJECTS[number % len(_SUBJECTS)]
        fields = {
            "email_subject": subject.format(n=40_000 + number * 37 % 9973),
            "email_sender": _SENDERS[number * 5 % len(_SENDERS)],
            "email_content": content.format(n=number) + "\n",
        }
        return put(pipeline, now - timedelta(seconds=8.5 * number + jitter[number]), number, fields)

    jitter = [chance.random() * 8 for _ in range(count)]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


def put_html(pipeline: Bucket, received_at: datetime, *, has_conflict: bool = True) -> str:
    """Put an HTML e-mail with two attachments, and another e-mail under its id; return the id."""
    fields = {
        "email_subject": "Order 48211 is on its way",
        "email_sender": "Orders <orders@shop.example>",
        "email_content": _HTML,
        "content_type": "text/html",
    }
    attachments = [
        {"file_name": "invoice-48211.pdf", "content_type": "application/pdf", "size_bytes": 48_213, "sha256": "a" * 64},
        {"file_name": "terms.txt", "content_type": "text/plain", "size_bytes": 2_100, "sha256": "b" * 64},
    ]
    own_id = put(pipeline, received_at, 4242, fields, attachments=attachments)
    if not has_conflict:
        return own_id
    key = f"conflicts/{received_at:%Y/%m/%d}/{own_id}/{'c' * 64}.json"
    body = json.dumps(record(own_id, fields | {"email_subject": "Another one under this id"}, received_at)).encode()
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=body)
    return own_id


def put_letters(pipeline: Pipeline, redrivable: int, broken: int) -> None:
    """Send dead letters: e-mails that could be stored now, and messages that never can."""
    for number in range(redrivable + broken):
        good = {
            "email_subject": f"Letter {number}",
            "email_sender": _SENDERS[number % len(_SENDERS)],
            "email_timestream": "1693561101",
            "email_content": "Some text",
        }
        body = json.dumps(good) if number < redrivable else ('{"email_subject": "no sender"}', "not JSON")[number % 2]
        received_at = datetime.fromtimestamp(1_795_000_000 + number, UTC)
        own_id = message_id(received_at, number)
        pipeline.sqs.send_message(
            QueueUrl=pipeline.dlq_url,
            MessageBody=body,
            MessageAttributes={"message_id": {"DataType": "String", "StringValue": own_id}},
        )
