"""The claim check: an e-mail too large for SQS is stored in S3, and a pointer to it is published in its place."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pillarbox.backoff import Backoff
from pillarbox.message import sqs_size_bytes
from pillarbox.payload import SIZE_ATTRIBUTE, Pointer, payload_key
from pillarbox_aws.object_store import ObjectStoreError, create_object
from service1_api.metrics import Metrics
from service1_api.publisher import Message, OverloadedError, PublishError

if TYPE_CHECKING:
    from obstore.store import S3Store

# Causes that may pass within seconds. Others, such as a missing right or bucket, are answered at once.
_PASSING_CAUSES = frozenset({"throttled", "server_error", "timeout", "connection", "contended"})
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most `max_requests` wait for S3 at once, so that an outage of S3 leaves room for small e-mails."""
        self._publisher = publisher
        self._store = store
        self._place = place
        self._metrics = metrics
        self._deadline_seconds = deadline_seconds
        self._send_seconds = send_seconds
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
        started, outcome = self._clock(), "failed"
        try:
            outcome = "stored" if self._store.put(key, payload, deadline) else "present"
        except StoreUnavailableError as exc:
            fields = {"message_id": message.attributes["message_id"], "cause": exc.cause, "bytes": len(payload)}
            log.warning("payload was not stored", extra=fields)
            raise
        finally:
            self._metrics.payload_put_seconds.observe(self._clock() - started)
            self._metrics.payloads_total.labels(outcome).inc()
        body = Pointer(self._place.bucket, key, len(payload)).body()
        numbers = {SIZE_ATTRIBUTE: str(len(payload))}
        size = sqs_size_bytes(body, {**message.attributes, **numbers})  # "Number" has as many letters as "String"
        return replace(message, body=body, size_bytes=size, payload=None, numbers=numbers)


class S3Payloads:
    """Stores payloads with no right but to put: a key contains the digest, so a key that is taken is a success."""

    def __init__(
        self,
        store: S3Store,
        *,
        attempt_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`attempt_seconds` is the time after which `store` gives up a request."""
        self._store = store
        self._attempt_seconds = attempt_seconds
        self._clock = clock
        self._sleep = sleep

    def put(self, key: str, body: bytes, deadline: float) -> bool:
        """Store a payload, retried while a whole attempt fits; return False if it is there already.

        Raise StoreUnavailableError.
        """
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        if self._clock() + self._attempt_seconds > deadline:
            raise StoreUnavailableError("store_deadline")
        while True:
            try:
                return create_object(self._store, key, body, {"Content-Type": "application/json"})
            except ObjectStoreError as exc:
                cause, code = exc.failure.cause, exc.failure.code
                pause = backoff.next_seconds()
                again = self._clock() + pause + self._attempt_seconds <= deadline
                if cause not in _PASSING_CAUSES or not again:
                    raise StoreUnavailableError(f"store_{cause}") from exc
                log.info("payload was not stored; will be retried", extra={"cause": cause, "code": code})
            self._sleep(pause)
