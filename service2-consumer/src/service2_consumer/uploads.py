"""Stores the objects of a lane: attempts, outages, and objects that fail while the store works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pillarbox.backoff import Backoff
from service2_consumer.clock import Clock, PollTiming, StopEvents
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.model import InFlightMessage, Outcome, Upload
from service2_consumer.object_writer import ObjectWriter
from service2_consumer.ports import Archive, RefusedObjectError, StoreError
from service2_consumer.set_aside import SetAside, SetAsideUpload
from service2_consumer.telemetry import Telemetry

# One attempt stores no more than one receive can bring: the writer has that many threads for each lane.
_MAX_PER_ATTEMPT = 10

# These causes affect all objects. They never count against one.
_NEVER_OWN_FAULT = frozenset({"throttled", "credentials", "no_such_bucket"})
# These count against an object only if another object was stored meanwhile. The probe is small and has its own key:
# it can succeed while a policy denies all other keys, or while the network drops all longer requests.
_OWN_FAULT_IF_OTHERS_STORED = frozenset({"access_denied", "timeout", "connection"})


@dataclass(frozen=True, slots=True)
class _Failure:
    """An object that one attempt did not store; `error` is None if the attempt was abandoned."""

    upload: Upload
    error: StoreError | None


class Uploader:
    """Stores the objects of one lane and, as the last step, deletes the messages of the stored objects.

    If nothing can be stored, it keeps the messages and retries: an outage uses one receive of each message. An object
    that fails while the store works is set aside, so that the lane continues. After `PollTiming.max_retries_alone`
    failures its messages are released and count towards the dead-letter queue.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        writer: ObjectWriter,
        in_flight: InFlightMessages,
        telemetry: Telemetry,
        timing: PollTiming,
        stop_events: StopEvents,
        clock: Clock,
        beat: Callable[[], None],
    ) -> None:
        self._archive = archive
        self._writer = writer
        self._in_flight = in_flight
        self._telemetry = telemetry
        self._timing = timing
        self._stop_events = stop_events
        self._clock = clock
        self._beat = beat
        self._aside = SetAside()
        self._stored = 0

    def has_room(self) -> bool:
        """Report what is set aside, and return whether it leaves room for another receive."""
        full = self._aside.full
        self._telemetry.set_aside(self._aside.messages, full=full)
        return not full

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Return the time until an object set aside needs a retry or an extension; None without such objects."""
        due = self._aside.seconds_until_due(now_seconds)
        return None if due is None else max(0.0, min(due, self._in_flight.seconds_until_extension(now_seconds)))

    def clear(self) -> None:
        """Forget the objects set aside; the caller releases their messages."""
        self._aside.clear()
        self._telemetry.set_aside(0, full=False)

    def upload(self, uploads: list[Upload]) -> bool:
        """Store objects and retry for as long as an outage lasts; leave some only when stopping.

        Return False if messages were held as long as SQS allows: the caller then has to release everything.
        """
        backoff = Backoff(0.1, self._timing.longest_backoff_seconds)
        if uploads and self._aside and not self._extend():
            return False
        stored_before, failed_once = self._stored, False
        while uploads:
            failures = self._attempt(uploads)
            uploads = [failure.upload for failure in failures]
            if not uploads or self._stop_events.requested.is_set():
                break
            if failed_once and self._store_works(failures, stored_before):  # a 2nd attempt stores most failed objects
                self._aside.add(uploads, self._clock.monotonic(), self._stored)
                break
            failed_once, stored_before = True, stored_before if not failed_once else self._stored
            if not self._extend():
                return False
            self._pause(backoff.next_seconds())
        return True

    def retry_due(self) -> bool:
        """Retry the objects set aside that are due; return False as `upload` does."""
        if not self._aside:
            return True
        if not self._extend():
            return False
        due = self._aside.take_due(self._clock.monotonic(), _MAX_PER_ATTEMPT)
        if due:
            failures = {id(failure.upload): failure for failure in self._attempt([item.upload for item in due])}
            self._judge([(item, failures[id(item.upload)]) for item in due if id(item.upload) in failures])
        return True

    def _judge(self, failed: Sequence[tuple[SetAsideUpload, _Failure]]) -> None:
        """Put back the objects that failed again; release those that failed too often through their own fault."""
        if not failed:
            return
        stored_before = min(item.stored_before for item, _ in failed)
        works = self._store_works([failure for _, failure in failed], stored_before)
        for item, failure in failed:
            own_fault = works and _own_fault(failure, others_stored=self._stored > item.stored_before)
            item.faults += own_fault
            if own_fault and item.faults == 1:
                self._telemetry.fails_alone(item.upload, str(failure.error))
            if item.faults >= self._timing.max_retries_alone:
                self._telemetry.store_refused(item.upload, str(failure.error), item.faults)
                self._in_flight.release_half(item.upload.messages)
            else:
                self._aside.put_back(item, self._clock.monotonic(), self._stored)

    def _store_works(self, failures: Sequence[_Failure], stored_before: int) -> bool:
        """Return whether the store accepts writes although these failed: another object or the probe was stored."""
        errors = [failure.error for failure in failures if failure.error]
        if self._stored > stored_before:
            self._telemetry.store_works()
            return True
        if self._stop_events.requested.is_set():
            return False
        try:
            self._archive.probe()
        except StoreError as exc:
            self._telemetry.store_failed([*errors, exc])
            return False
        finally:
            self._beat()
        if all(_own_fault(failure, others_stored=False) for failure in failures):
            self._telemetry.store_works()
        else:
            self._telemetry.store_failed(errors)
        return True

    def _attempt(self, uploads: Sequence[Upload]) -> list[_Failure]:
        """Try once to store objects; delete the messages of the stored ones, release the refused, return the failed."""
        results = self._writer.write(uploads, self._stop_events.abandoned)
        self._beat()
        failures: list[_Failure] = []
        refused: list[InFlightMessage] = []
        stored: dict[Outcome, list[InFlightMessage]] = {outcome: [] for outcome in Outcome}
        for upload, result in zip(uploads, results, strict=True):
            if isinstance(result, Outcome):
                self._stored += 1
                stored[result] += upload.messages
                self._telemetry.object_stored(upload, result)
            elif isinstance(result, RefusedObjectError):
                refused += upload.messages
                for message in upload.messages:
                    self._telemetry.poison(message, message.message_id, "refused_by_store", str(result))
            else:
                failures.append(_Failure(upload, result))
        self._telemetry.messages_stored(stored, self._clock.now())
        self._in_flight.acknowledge([message for messages in stored.values() for message in messages])
        self._in_flight.release(refused)
        self._telemetry.attempts_failed([failure.error for failure in failures if failure.error])
        if not failures:
            self._telemetry.store_works()
        return failures

    def _extend(self) -> bool:
        return self._in_flight.extend(self._clock.monotonic())

    def _pause(self, seconds: float) -> None:
        self._beat()
        until_extension = self._in_flight.seconds_until_extension(self._clock.monotonic())
        self._clock.wait(self._stop_events.requested, min(seconds, max(1.0, until_extension)))


def _own_fault(failure: _Failure, *, others_stored: bool) -> bool:
    """Return whether an object fails through its own fault, given that the store works."""
    if failure.error is None or failure.error.cause in _NEVER_OWN_FAULT:
        return False
    return others_stored or failure.error.cause not in _OWN_FAULT_IF_OTHERS_STORED
