"""The queues of a pipeline: their depth, and what is in them without taking it, where that is possible."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import urllib3

from pillarbox_ops.dead_letters import DeadLetter, DeadLetterQueue, Judge, letter_of
from pillarbox_ops.errors import OpsError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_PEEKED = 10  # of one receive
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STATES = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages of a queue as SQS estimates them, by state."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """Return the sum of all states."""
        return self.visible + self.in_flight + self.delayed


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of the page: `name` is its word in addresses, `dead_letters` is set for a dead-letter queue."""

    name: str
    title: str
    url: str
    judge: Judge
    dead_letters: DeadLetterQueue | None = None


class Queues:
    """Looks into queues. `endpoint` is where the client sends its requests; empty means AWS."""

    def __init__(self, sqs: Callable[[], SQSClient], endpoint: str, http: urllib3.PoolManager | None = None) -> None:
        self._sqs = sqs
        self._endpoint = endpoint.rstrip("/")
        self._http = http or urllib3.PoolManager(timeout=urllib3.Timeout(5), retries=False)

    def depth(self, queue: Queue) -> Depth:
        """Return the depth of a queue."""
        wanted: Any = list(_STATES.values())
        found: Mapping[str, str] = self._sqs().get_queue_attributes(  # type: ignore[assignment]  # its keys are literals
            QueueUrl=queue.url, AttributeNames=wanted
        )["Attributes"]
        return Depth(**{state: int(found.get(name, 0)) for state, name in _STATES.items()})

    @cached_property
    def is_free(self) -> bool:
        """Return whether looking costs nothing: the queues are those of ministack on this machine, which shows them."""
        if urlsplit(self._endpoint).hostname not in _LOOPBACK:
            return False
        try:
            answer = self._http.request("GET", f"{self._endpoint}/_ministack/health")
            return answer.status == 200 and isinstance(json.loads(answer.data).get("services"), dict)
        except (urllib3.exceptions.HTTPError, ValueError, AttributeError):
            return False

    def look(self, queue: Queue) -> list[DeadLetter]:
        """Return all messages of a queue of ministack, the oldest first. Nothing changes. Raise OpsError."""
        address = f"{self._endpoint}/_ministack/sqs/messages?{urlencode({'QueueUrl': queue.url})}"
        try:
            answer = self._http.request("GET", address)
            (regions,) = json.loads(answer.data)["messages"].values() or [{}]
            (queues,) = regions.values() or [{}]
            (entries,) = queues.values() or [[]]
            return [letter_of(_as_received(entry), queue.judge) for entry in entries]
        except (urllib3.exceptions.HTTPError, ValueError, LookupError, AttributeError, TypeError):
            raise OpsError(f"the emulator at {self._endpoint} does not show its queues") from None

    def receive(self, queue: Queue) -> list[DeadLetter]:
        """Return up to ten messages by receiving them, which spends a receive of each, and show them again at once."""
        wanted: Any = ["All"]
        found = (
            self._sqs()
            .receive_message(
                QueueUrl=queue.url,
                MaxNumberOfMessages=MAX_PEEKED,
                VisibilityTimeout=10,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=wanted,
            )
            .get("Messages", [])
        )
        if found:
            entries: Any = [
                {"Id": str(number), "ReceiptHandle": entry["ReceiptHandle"], "VisibilityTimeout": 0}
                for number, entry in enumerate(found)
            ]
            self._sqs().change_message_visibility_batch(QueueUrl=queue.url, Entries=entries)
        return [letter_of(entry, queue.judge) for entry in found]


def _as_received(entry: Mapping[str, Any]) -> Any:
    """Return a message of ministack's list in the form in which SQS delivers it."""
    system = {
        **entry.get("Attributes", {}),
        "SentTimestamp": str(int(entry.get("SentTimestamp") or time.time()) * 1000),
        "ApproximateReceiveCount": str(entry.get("ReceiveCount", 0)),
    }
    return {
        "MessageId": entry["MessageId"],
        "Body": entry.get("Body", ""),
        "Attributes": system,
        "MessageAttributes": entry.get("MessageAttributes") or {},
    }
