"""What happens to messages, told in metrics and log lines."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from service2_consumer.layouts import Held, Parcel
from service2_consumer.metrics import Metrics
from service2_consumer.ports import Outcome, StoreError
from service2_consumer.trouble import Trouble

logger = logging.getLogger(__name__)

_NEEDS_AN_OPERATOR = ("access_denied", "no_such_bucket", "credentials")


class Journal:
    """One lane's record of outcomes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._set_aside = 0
        self._full = False
        self._trouble = Trouble(logger, "S3", "this lane keeps its messages and tries again with growing pauses")

    @property
    def store_fails(self) -> bool:
        """Tell whether the last attempts to store failed."""
        return self._trouble.lasts

    def stored_object(self, parcel: Parcel, outcome: Outcome) -> None:
        """Note an object, and above all one that had to be kept apart."""
        if outcome is Outcome.CONFLICT:
            extra = {"message_id": parcel.messages[0].message_id, "key": parcel.item.conflict_key}
            logger.warning("another e-mail under a used id; kept apart", extra=extra)
        if outcome is not Outcome.DUPLICATE:
            self._metrics.stored_bytes.inc(len(parcel.item.body))

    def stored(self, messages: Mapping[Outcome, Sequence[Held]], now: datetime) -> None:
        """Note the messages of a cycle that are safe in S3."""
        self._metrics.stored.inc(len(messages[Outcome.STORED]))
        self._metrics.duplicates.inc(len(messages[Outcome.DUPLICATE]))
        self._metrics.conflicts.inc(len(messages[Outcome.CONFLICT]))
        now_seconds = now.timestamp()
        for held in messages[Outcome.STORED]:
            self._metrics.age_seconds.observe(max(0.0, now_seconds - held.sent_seconds))
        # One line for a whole cycle: at thousands of messages a second a line each would cost a tenth of the CPU.
        for outcome in (Outcome.STORED, Outcome.DUPLICATE):
            if messages[outcome]:
                logger.info(outcome.value, extra={"message_ids": [held.message_id for held in messages[outcome]]})

    def poison(self, receive_count: int, message_id: str, reason: str, problem: str) -> None:
        """Note a message that can never be stored, once: when it first came."""
        if receive_count > 1:
            return
        self._metrics.invalid.labels(reason).inc()
        extra = {"message_id": message_id, "reason": reason, "problem": problem}
        logger.warning("can never be stored; redrive will move it to the dead-letter queue", extra=extra)

    def failed(self, failures: Sequence[StoreError]) -> None:
        """Note what kept objects from being stored in one attempt, whoever is to blame."""
        for exc in failures:
            self._metrics.store_failures.labels(exc.cause).inc()

    def set_aside(self, messages: int, *, full: bool) -> None:
        """Note how many messages are set aside, and whether they leave no room for another receive."""
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

    def fails_alone(self, parcel: Parcel, problem: str) -> None:
        """Note an object that fails again and again while the store works."""
        extra = {"key": parcel.item.key, "message_ids": _ids(parcel), "problem": problem}
        logger.warning("fails while the store works; set aside and tried again with growing pauses", extra=extra)

    def store_refused(self, parcel: Parcel, problem: str, faults: int) -> None:
        """Note an object that is given up. This counts each release: an earlier receive may have ended otherwise."""
        self._metrics.invalid.labels("store_refused").inc(len(parcel.messages))
        told = {"reason": "store_refused", "problem": problem, "tries": faults}
        extra = {"key": parcel.item.key, "message_ids": _ids(parcel), **told}
        logger.error("failed too often while the store works; released towards the dead-letter queue", extra=extra)

    def store_failed(self, failures: Sequence[StoreError]) -> None:
        """Note that the store fails: nothing could be written, or nothing but the probe."""
        worst = next((exc for exc in failures if exc.cause in _NEEDS_AN_OPERATOR), failures[0])
        self._trouble.failed(str(worst), loud=worst.cause in _NEEDS_AN_OPERATOR)
        if self._trouble.lasts:
            self._metrics.store_healthy.set(0)

    def store_works(self) -> None:
        """Note that the store takes writes."""
        self._trouble.ended()
        self._metrics.store_healthy.set(1)


def _ids(parcel: Parcel) -> list[str]:
    return [held.message_id for held in parcel.messages]
