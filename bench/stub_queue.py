"""One SQS queue in memory for benchmarks: long polls, receipts and visibility timeouts as in SQS."""

import asyncio
import hashlib
import heapq
import secrets
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pillarbox.ids import new_message_id
from pillarbox.message import Envelope
from pillarbox.trace import new_traceparent


@dataclass(slots=True)
class Queued:
    """A message of the queue; only the receipt of its latest receive is valid."""

    body: str
    attributes: dict[str, str]
    sent_ms: int
    sqs_id: str = field(default_factory=new_message_id)
    receives: int = 0
    receipt: str = ""
    visible_at: float = 0.0

    def to_reply(self) -> dict[str, object]:
        """Return the message in the form of ReceiveMessage."""
        return {
            "MessageId": self.sqs_id,
            "ReceiptHandle": self.receipt,
            "Body": self.body,
            "MD5OfBody": hashlib.md5(self.body.encode(), usedforsecurity=False).hexdigest(),
            "Attributes": {"SentTimestamp": str(self.sent_ms), "ApproximateReceiveCount": str(self.receives)},
            "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in self.attributes.items()},
        }


class Queue:
    """A standard queue; its methods take requests and return replies of the SQS API."""

    def __init__(self) -> None:
        self._visible: deque[Queued] = deque()
        self._in_flight: dict[str, Queued] = {}
        self._returning: list[tuple[float, str]] = []
        self._waiting: list[asyncio.Event] = []
        self.deleted = 0
        self.received = 0

    def fill(self, bodies: Iterable[str]) -> None:
        """Add messages with the attributes that service1-api writes."""
        for body in bodies:
            envelope = Envelope(message_id=new_message_id(), source="service1-api", traceparent=new_traceparent())
            self._visible.append(Queued(body, envelope.to_attributes(), int(time.time() * 1000)))
        for event in self._waiting:
            event.set()

    async def receive(self, request: dict[str, object]) -> dict[str, object]:
        """Answer ReceiveMessage, with a long poll if requested."""
        deadline = time.monotonic() + float(str(request.get("WaitTimeSeconds", 0)))
        self._return_expired()
        while not self._visible and (left := deadline - time.monotonic()) > 0:
            event = asyncio.Event()
            self._waiting.append(event)
            try:
                await asyncio.wait_for(event.wait(), min(left, 0.5))
            except TimeoutError:
                self._return_expired()
            finally:
                self._waiting.remove(event)
        received = [
            self._take(request) for _ in range(min(int(str(request["MaxNumberOfMessages"])), len(self._visible)))
        ]
        return {"Messages": [message.to_reply() for message in received]} if received else {}

    def _take(self, request: dict[str, object]) -> Queued:
        message = self._visible.popleft()
        message.receives += 1
        message.receipt = secrets.token_urlsafe(120)
        message.visible_at = time.monotonic() + float(str(request.get("VisibilityTimeout", 30)))
        self._in_flight[message.receipt] = message
        heapq.heappush(self._returning, (message.visible_at, message.receipt))
        self.received += 1
        return message

    def _return_expired(self) -> None:
        while self._returning and self._returning[0][0] <= time.monotonic():
            _, receipt = heapq.heappop(self._returning)
            message = self._in_flight.get(receipt)
            if message and message.visible_at <= time.monotonic():
                self._visible.append(self._in_flight.pop(receipt))

    def delete_batch(self, request: dict[str, object]) -> dict[str, object]:
        """Answer DeleteMessageBatch."""
        done: list[dict[str, str]] = []
        for entry in request["Entries"]:  # type: ignore[attr-defined]  # the request is any JSON
            self.delete(entry)
            done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": []}

    def delete(self, entry: dict[str, object]) -> dict[str, object]:
        """Answer DeleteMessage: a stale receipt succeeds and deletes nothing, as in SQS."""
        if self._in_flight.pop(str(entry["ReceiptHandle"]), None):
            self.deleted += 1
        return {}

    def change_visibility_batch(self, request: dict[str, object]) -> dict[str, object]:
        """Answer ChangeMessageVisibilityBatch."""
        done: list[dict[str, str]] = []
        for entry in request["Entries"]:  # type: ignore[attr-defined]
            if message := self._in_flight.get(entry["ReceiptHandle"]):
                message.visible_at = time.monotonic() + entry["VisibilityTimeout"]
                heapq.heappush(self._returning, (message.visible_at, message.receipt))
            done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": []}

    def attributes(self) -> dict[str, object]:
        """Answer GetQueueAttributes."""
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(len(self._visible)),
                "ApproximateNumberOfMessagesNotVisible": str(len(self._in_flight)),
                "ApproximateNumberOfMessagesDelayed": "0",
            }
        }
