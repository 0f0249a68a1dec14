"""Metrics and log lines about the outcome of messages."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from service2_consumer.metrics import Metrics
from service2_consumer.model import InFlightMessage, Outcome, Transfer, Upload
from service2_consumer.outage_log import OutageLog
from service2_consumer.ports import StoreError

logger = logging.getLogger(__name__)

_NEEDS_OPERATOR = ("access_denied", "no_such_bucket", "credentials")


class Telemetry:
    """Reports the outcomes of one lane."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._set_aside = 0
        self._full = False
        self._outage = OutageLog(logger, "S3", "this lane keeps its messages and retries with growing pauses")

    @property
    def store_fails(self) -> bool:
        """Return whether the last attempts to store failed."""
        return self._outage.active

    def stored(self, uploads: Mapping[Outcome, Sequence[Upload]], now: datetime) -> None:
        """Report the objects that one attempt has stored, and their messages; each conflict is logged."""
        customers = [upload for upload in uploads[Outcome.STORED] if not upload.is_probe]
        self._metrics.probes.inc(len(uploads[Outcome.STORED]) - len(customers))
        uploads = {**uploads, Outcome.STORED: customers}
        ids = {outcome: [i for upload in uploads[outcome] for i in upload.message_ids] for outcome in Outcome}
        self._metrics.stored.inc(len(ids[Outcome.STORED]))
        self._metrics.duplicates.inc(len(ids[Outcome.DUPLICATE]))
        self._metrics.conflicts.inc(len(ids[Outcome.CONFLICT]))
        written = [*uploads[Outcome.STORED], *uploads[Outcome.CONFLICT]]
        self._metrics.stored_bytes.inc(sum(len(upload.body) for upload in written))
        now_seconds = now.timestamp()
        for message in _messages(uploads[Outcome.STORED]):
            seconds = max(0.0, now_seconds - message.sent_at.timestamp())
            self._metrics.age_seconds.observe(seconds, message.span.exemplar)
        # One line for an attempt: at thousands of messages a second, a line for each would cost a tenth of the CPU.
        for outcome in (Outcome.STORED, Outcome.DUPLICATE):
            if ids[outcome]:
                trace_ids = [message.trace_id for message in _messages(uploads[outcome])]
                logger.info(outcome.value, extra={"message_ids": ids[outcome], "trace_ids": trace_ids})
        for upload in uploads[Outcome.CONFLICT]:
            trace_id = upload.messages[0].trace_id
            extra = {"message_id": upload.message_ids[0], "trace_id": trace_id, "key": upload.conflict_key}
            logger.warning("message id reused with different content; stored under conflicts/", extra=extra)

    def skipped(self, message: InFlightMessage, reasons: Sequence[str]) -> None:
        """Report the parts of a message that are acknowledged without an object."""
        for reason in reasons:
            self._metrics.skipped.labels(reason).inc()
        if reasons:
            extra = {"message_id": message.message_id, "trace_id": message.trace_id, "reasons": sorted(set(reasons))}
            logger.info("skipped", extra=extra)

    def poison(self, message: InFlightMessage, message_id: str, reason: str, problem: str) -> None:
        """Report a message that can never be stored, on its first receive only."""
        message.span.fail(reason)
        if message.receive_count > 1:
            return
        self._metrics.invalid.labels(reason).inc()
        extra = {"message_id": message_id, "trace_id": message.trace_id, "reason": reason, "problem": problem}
        logger.warning("can never be stored; redrive will move it to the dead-letter queue", extra=extra)

    def read(self, size_bytes: int) -> None:
        """Report a message whose e-mails were read from S3."""
        self._metrics.read_bytes.inc(size_bytes)

    def attempts_failed(self, failures: Sequence[StoreError], *, reading: bool = False) -> None:
        """Count the failed attempts to store, or to read, by cause."""
        counter = self._metrics.read_failures if reading else self._metrics.store_failures
        for exc in failures:
            counter.labels(exc.cause).inc()

    def set_aside(self, messages: int, *, full: bool) -> None:
        """Report the number of messages set aside, and whether the lane must not receive because of them."""
        if messages != self._set_aside:
            self._metrics.set_aside.inc(messages - self._set_aside)
            self._set_aside = messages
        if full and not self._full:
            self._metrics.lanes_full.inc()
            logger.warning("a lane receives nothing until what it has set aside is stored or released")
        elif self._full and not full:
            self._metrics.lanes_full.dec()
            logger.info("a lane receives again")
        self._full = full

    def fails_alone(self, transfer: Transfer, problem: str) -> None:
        """Report an object that fails repeatedly while the store works."""
        trace_ids = [message.trace_id for message in transfer.messages]
        extra = {"key": transfer.key, "message_ids": transfer.message_ids, "trace_ids": trace_ids, "problem": problem}
        logger.warning("fails while the store works; set aside and tried again with growing pauses", extra=extra)

    def store_refused(self, transfer: Transfer, problem: str, faults: int) -> None:
        """Report an object whose retries have ended. Each release counts: an earlier receive may end otherwise."""
        self._metrics.invalid.labels("store_refused").inc(len(transfer.messages))
        for message in transfer.messages:
            message.span.fail("store_refused")
        trace_ids = [message.trace_id for message in transfer.messages]
        fields = {"reason": "store_refused", "problem": problem, "tries": faults}
        extra = {"key": transfer.key, "message_ids": transfer.message_ids, "trace_ids": trace_ids, **fields}
        logger.error("failed too often while the store works; released towards the dead-letter queue", extra=extra)

    def store_failed(self, failures: Sequence[StoreError]) -> None:
        """Report an outage: no write succeeded, or only that of the probe."""
        worst = next((exc for exc in failures if exc.cause in _NEEDS_OPERATOR), failures[0])
        self._outage.failed(str(worst), needs_operator=worst.cause in _NEEDS_OPERATOR)
        if self._outage.active:
            self._metrics.store_healthy.set(0)

    def store_works(self) -> None:
        """Report that writes succeed."""
        self._outage.recovered()
        self._metrics.store_healthy.set(1)


def _messages(uploads: Sequence[Upload]) -> Iterator[InFlightMessage]:
    return (message for upload in uploads for message in upload.messages)
