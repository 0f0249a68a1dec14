"""E-mails and poison for the tests of dead letters."""

import json
from typing import Any

from .pipelines import Pipeline

ID = "019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10"
ATTRIBUTES = {
    "message_id": {"DataType": "String", "StringValue": ID},
    "picture": {"DataType": "Binary.jpg", "BinaryValue": b"\x00\xff\n"},
    "count": {"DataType": "Number.int", "StringValue": "7"},
    **{f"a{number}": {"DataType": "String", "StringValue": "\u202e é"} for number in range(7)},
}
SECRET = "only for Jane"


def email(**fields: Any) -> str:
    """Return the body of an e-mail."""
    content = {"email_subject": "s", "email_sender": "jane@example.com", "email_timestream": 1693561101}
    return json.dumps(content | {"email_content": SECRET} | fields)


def bodies(pipeline: Pipeline, url: str) -> list[str]:
    """Receive and delete all messages of a queue, and return their bodies in order."""
    return sorted(message["Body"] for message in pipeline.received(url))
