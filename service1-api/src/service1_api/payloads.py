"""The claim check: an e-mail too large for SQS is stored in S3, and a pointer to it is published in its place."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pillarbox.message import sqs_size_bytes
from pillarbox.payload import SIZE_ATTRIBUTE, Pointer, payload_key
from pillarbox.tracing import NO_TRACER, Tracer
from service1_api.metrics import Metrics
from service1_api.outgoing import Message, OverloadedError, PublishError, trace_id_of

log = logging.getLogger(__name__)


class StoreUnavailableError(PublishError):
    """The payload of a large message was not stored, so the queue has no pointer to it. A retry may succeed."""


class PublishesByDeadline(Protocol):
    """Sends messages that fit into SQS."""

    def publish(self, messages: Sequence[Message], deadline: float | None = None) -> list[PublishError | None]:
        """Return each message's result by `deadline` (monotonic seconds). Raise OverloadedError."""
        ...


class StoresPayloads(Protocol):
    """The bucket of the payloads."""

    def put(self, key: str, body: bytes, deadline: float) -> bool:
        """Store a payload; return False if it is there already. Raise StoreUnavailableError, by `deadline`."""
        ...


@dataclass(frozen=True, slots=True)
class PayloadPlace:
    """Where payloads go: a bucket, and the prefix of their keys."""

    bucket: str
    prefix: str


class ClaimCheck:
    """Publishes e-mails of any size: those with a `payload` as pointers, the others unchanged.

    A batch's small e-mails are published before the first payload is stored. All results are there within
    `deadline_seconds`, of which the last `send_seconds` are left for SQS.
    """

    def __init__(
        self,
        publisher: PublishesByDeadline,
        store: StoresPayloads,
        place: PayloadPlace,
        metrics: Metrics,
        *,
        deadline_seconds: float,
        send_seconds: float,
        max_requests: int,
        tracer: Tracer = NO_TRACER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most `max_requests` wait for S3 at once, so that an outage of S3 leaves room for small e-mails."""
        self._publisher = publisher
        self._store = store
        self._place = place
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._send_seconds = send_seconds
        self._tracer = tracer
        self._free = threading.BoundedSemaphore(max_requests)
        self._clock = clock

    def publish(self, messages: Sequence[Message]) -> list[PublishError | None]:
        """Return each message's result, None for confirmed. Raise OverloadedError if all are small ones."""
        large = [index for index, message in enumerate(messages) if message.payload is not None]
        if not large:
            return self._publisher.publish(messages)
        deadline = self._clock() + self._deadline_seconds
        results: list[PublishError | None] = [None] * len(messages)
        self._send({index: message for index, message in enumerate(messages) if index not in large}, deadline, results)
        if not self._free.acquire(blocking=False):
            for index in large:
                results[index] = OverloadedError("too_many_payloads")
            return results
        try:
            pointers = {}
            for index in large:
                try:
                    pointers[index] = self._stored(messages[index], deadline - self._send_seconds)
                except StoreUnavailableError as exc:
                    results[index] = exc
        finally:
            self._free.release()
        self._send(pointers, deadline, results)
        return results

    def _send(self, messages: dict[int, Message], deadline: float, results: list[PublishError | None]) -> None:
        """Publish messages, and write their results into their places."""
        if not messages:
            return
        found: Sequence[PublishError | None]
        try:
            found = self._publisher.publish(list(messages.values()), deadline)
        except OverloadedError as exc:
            found = [exc] * len(messages)
        for index, result in zip(messages, found, strict=True):
            results[index] = result

    def _stored(self, message: Message, deadline: float) -> Message:
        """Store a message's payload; return the message that points to it. Raise StoreUnavailableError."""
        payload = message.payload or b""
        digest = hashlib.sha256(payload).hexdigest()
        key = payload_key(self._place.prefix, message.attributes["message_id"], digest)
        span, started, outcome = self._tracer.put([message]), self._clock(), "failed"
        try:
            outcome = "stored" if self._store.put(key, payload, deadline) else "present"
        except StoreUnavailableError as exc:
            span.fail(exc.cause)
            email = {"message_id": message.attributes["message_id"], "trace_id": trace_id_of(message)}
            log.warning("payload was not stored", extra={**email, "cause": exc.cause, "bytes": len(payload)})
            raise
        finally:
            span.end()
            self._metrics.payload_put_seconds.observe(self._clock() - started)
            self._metrics.payloads_total.labels(outcome).inc()
        body = Pointer(self._place.bucket, key, len(payload)).body()
        numbers = {SIZE_ATTRIBUTE: str(len(payload))}
        size = sqs_size_bytes(body, {**message.attributes, **numbers})  # "Number" has as many letters as "String"
        return replace(message, body=body, size_bytes=size, payload=None, numbers=numbers)
