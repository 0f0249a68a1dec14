"""Send test e-mails directly to the queue, like any producer: the body is the e-mail, attributes have the rest."""

import json
import os
import secrets
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_BATCH_ENTRIES = 10  # SQS's limit


def new_message_id(milliseconds: int) -> str:
    """Return a UUIDv7 (RFC 9562) with the Unix time."""
    rest = secrets.randbits(74)
    low = (rest >> 62) << 64 | 0b10 << 62 | rest & ((1 << 62) - 1)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | low))


def message(number: int, count: int) -> tuple[str, "SendMessageBatchRequestEntryTypeDef"]:
    """Return the message id and the batch entry of one test e-mail."""
    now = time.time()
    message_id = new_message_id(int(now * 1000))
    email = {
        "email_subject": f"Pillarbox queue test {number} of {count}",
        "email_sender": "queue-test@pillarbox.invalid",
        "email_timestream": str(int(now)),
        "email_content": "Sent by e2e_test/send_to_queue.sh",
    }
    attributes = {
        "message_id": message_id,
        "received_at": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source": "send_to_queue",
    }
    return message_id, {
        "Id": str(number),
        "MessageBody": json.dumps(email),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    }


def send(sqs: "SQSClient", queue_url: str, count: int) -> Iterator[str]:
    """Send e-mails and yield the id of each that SQS has confirmed. Raise ValueError if SQS refuses one."""
    for first in range(1, count + 1, _BATCH_ENTRIES):
        numbers = range(first, min(first + _BATCH_ENTRIES, count + 1))
        messages = [message(number, count) for number in numbers]
        reply = sqs.send_message_batch(QueueUrl=queue_url, Entries=[entry for _, entry in messages])
        confirmed = {entry["Id"] for entry in reply.get("Successful", [])}
        yield from (message_id for message_id, entry in messages if entry["Id"] in confirmed)
        if len(confirmed) < len(messages):
            codes = sorted({entry["Code"] for entry in reply.get("Failed", [])})
            raise ValueError(f"SQS refused {len(messages) - len(confirmed)} message(s): {', '.join(codes)}")


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Send as many e-mails as the argument says. Exit codes: 0 sent, 1 failed, 2 wrong settings."""
    missing = [name for name in ("SQS_QUEUE_URL", "AWS_REGION") if not environment.get(name)]
    if missing:
        print(f"not set: {', '.join(missing)}", file=sys.stderr)
        return 2
    queue_url = environment["SQS_QUEUE_URL"]
    sqs = boto3.client("sqs", region_name=environment["AWS_REGION"])
    sent = 0
    try:
        for message_id in send(sqs, queue_url, int(arguments[0])):
            sent += 1
            print(message_id, flush=True)
    except (ClientError, BotoCoreError, ValueError) as exc:
        print(f"{sent} sent, then: {exc}", file=sys.stderr)
        return 1
    print(f"{sent} sent to {queue_url}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
