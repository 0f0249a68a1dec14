"""Reads and stores the objects of a lane: attempts, outages, and objects that fail alone."""

from collections.abc import Callable, Sequence

from pillarbox.backoff import Backoff
from service2_consumer.clock import Clock, PollTiming, StopEvents
from service2_consumer.in_flight import InFlightMessages
from service2_consumer.model import Download, InFlightMessage, Outcome, Reading, Transfer, Upload
from service2_consumer.ports import Archive, Intake, RefusedObjectError, StoreError
from service2_consumer.read_budget import ReadBudget
from service2_consumer.set_aside import SetAside, SetAsideTransfer
from service2_consumer.telemetry import Telemetry
from service2_consumer.transfer_failure import Failure, own_fault
from service2_consumer.transfer_threads import TransferThreads

# One attempt transfers no more than one receive brings: a lane has that many threads.
_MAX_PER_ATTEMPT = 10


class Transfers:
    """Reads and stores the objects of one lane and, as the last step, deletes the messages of the stored objects.

    If nothing can be transferred, it keeps the messages and retries: an outage uses one receive of each message. An
    object that fails while S3 works is set aside, so that the lane continues. After `PollTiming.max_retries_alone`
    failures its messages are released and count towards the dead-letter queue.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        intake: Intake,
        threads: TransferThreads,
        budget: ReadBudget,
        in_flight: InFlightMessages,
        telemetry: Telemetry,
        timing: PollTiming,
        stop_events: StopEvents,
        clock: Clock,
        beat: Callable[[], None],
        on_read: Callable[[InFlightMessage, Reading], None],
    ) -> None:
        self._archive = archive
        self._intake = intake
        self._threads = threads
        self._budget = budget
        self._in_flight = in_flight
        self._telemetry = telemetry
        self._timing = timing
        self._stop_events = stop_events
        self._clock = clock
        self._beat = beat
        self._on_read = on_read
        self._aside = SetAside()
        self._succeeded: dict[type[Transfer], int] = {Upload: 0, Download: 0}
        self._taken: list[int] = []  # sizes taken from the budget

    def check(self) -> None:
        """Verify that archive and intake work. Raise StoreError and OverwritesError."""
        self._archive.check()
        self._intake.check()

    def has_room(self) -> bool:
        """Report what is set aside, and return whether it leaves room for another receive."""
        full = self._aside.full
        self._telemetry.set_aside(self._aside.messages, full=full)
        return not full

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Return the time until an object set aside needs a retry or an extension; None without such objects."""
        due = self._aside.seconds_until_due(now_seconds)
        if due is None:
            return None
        return max(0.0, min(due, self._in_flight.seconds_until_extension(now_seconds)))

    def clear(self) -> None:
        """Forget the objects set aside; the caller releases their messages."""
        self._aside.clear()
        self._telemetry.set_aside(0, full=False)
        self.give_back()

    def take_fitting(self, downloads: list[Download]) -> list[Download]:
        """Wait until the budget has room, and return the downloads, the first ones, that may begin.

        Return none of them when stopping, or if messages were held as long as SQS allows.
        """
        count = self._budget.take([download.size_bytes for download in downloads], self._may_wait)
        self._taken += [download.size_bytes for download in downloads[:count]]
        return downloads[:count]

    def give_back(self) -> None:
        """Return to the budget what was taken, once the objects are stored or in a batch."""
        if self._taken:
            self._budget.give_back(self._taken)
            self._taken = []

    def run(self, transfers: Sequence[Transfer]) -> bool:
        """Transfer objects of one type and retry for as long as an outage lasts; leave some only when stopping.

        Return False if messages were held as long as SQS allows: the caller then has to release everything.
        """
        if not transfers:
            return True
        if self._aside and not self._extend():
            return False
        backoff = Backoff(0.1, self._timing.longest_backoff_seconds)
        succeeded_before, failed_once = self._succeeded_like(transfers), False
        while transfers:
            failures = self._attempt(transfers)
            transfers = [failure.transfer for failure in failures]
            if not transfers or self._stop_events.requested.is_set():
                break
            # Most objects succeed at the second attempt, so only that one is judged.
            if failed_once and self._s3_works(failures, succeeded_before):
                self._aside.add(transfers, self._clock.monotonic(), self._succeeded_like(transfers))
                break
            if failed_once:
                succeeded_before = self._succeeded_like(transfers)
            failed_once = True
            if not self._extend():
                return False
            self._pause(backoff.next_seconds())
        return True

    def retry_due(self) -> bool:
        """Retry the objects set aside that are due; return False as `run` does."""
        if not self._aside:
            return True
        if not self._extend():
            return False
        due = self._aside.take_due(self._clock.monotonic(), _MAX_PER_ATTEMPT)
        self._retry([item for item in due if isinstance(item.transfer, Upload)])
        self._retry(self._fitting([item for item in due if isinstance(item.transfer, Download)]))
        return True

    def _fitting(self, due: list[SetAsideTransfer]) -> list[SetAsideTransfer]:
        """Return the downloads that the budget has room for, and put back the others."""
        downloads = [item.transfer for item in due if isinstance(item.transfer, Download)]
        fitting = len(self.take_fitting(downloads)) if downloads else 0
        for item in due[fitting:]:
            self._aside.put_back(item, self._clock.monotonic(), item.succeeded_before)
        return due[:fitting]

    def _retry(self, due: Sequence[SetAsideTransfer]) -> None:
        if not due:
            return
        failed = {id(one.transfer): one for one in self._attempt([item.transfer for item in due])}
        keys = [(item, id(item.transfer)) for item in due]
        self._judge([(item, failed[key]) for item, key in keys if key in failed])

    def _judge(self, failed: Sequence[tuple[SetAsideTransfer, Failure]]) -> None:
        """Put back the objects that failed again; release those that failed too often through their own fault."""
        if not failed:
            return
        works = self._s3_works([failure for _, failure in failed], min(item.succeeded_before for item, _ in failed))
        for item, failure in failed:
            succeeded = self._succeeded[type(item.transfer)]
            is_own_fault = works and own_fault(failure, others_succeeded=succeeded > item.succeeded_before)
            item.faults += is_own_fault
            if is_own_fault and item.faults == 1:
                self._telemetry.fails_alone(item.transfer, str(failure.error))
            if item.faults >= self._timing.max_retries_alone:
                self._telemetry.store_refused(item.transfer, str(failure.error), item.faults)
                self._in_flight.release_half(item.transfer.messages)
            else:
                self._aside.put_back(item, self._clock.monotonic(), succeeded)

    def _s3_works(self, failures: Sequence[Failure], succeeded_before: int) -> bool:
        """Return whether S3 works although these transfers failed: another one or the probe has succeeded."""
        kind = type(failures[0].transfer)
        errors = [failure.error for failure in failures if failure.error]
        if self._succeeded[kind] > succeeded_before:
            self._telemetry.store_works()
            return True
        if self._stop_events.requested.is_set():
            return False
        try:
            (self._intake if kind is Download else self._archive).probe()
        except StoreError as exc:
            self._telemetry.store_failed([*errors, exc])
            return False
        finally:
            self._beat()
        if all(own_fault(failure, others_succeeded=False) for failure in failures):
            self._telemetry.store_works()
        else:
            self._telemetry.store_failed(errors)
        return True

    def _attempt(self, transfers: Sequence[Transfer]) -> list[Failure]:
        """Try each transfer once; delete the messages of stored objects, release the refused, return the failed."""
        results = self._threads.run(transfers, self._clock.now(), self._stop_events.abandoned, self._may_wait)
        self._beat()
        failures: list[Failure] = []
        refused: list[InFlightMessage] = []
        stored: dict[Outcome, list[Upload]] = {outcome: [] for outcome in Outcome}
        for transfer, result in zip(transfers, results, strict=True):
            if isinstance(result, Outcome) and isinstance(transfer, Upload):
                stored[result].append(transfer)
            elif isinstance(result, Reading) and isinstance(transfer, Download):
                self._succeeded[Download] += 1
                self._telemetry.read(transfer.size_bytes)
                self._on_read(transfer.messages[0], result)
            elif isinstance(result, RefusedObjectError):
                refused += transfer.messages
                for message, message_id in zip(transfer.messages, transfer.message_ids, strict=True):
                    self._telemetry.poison(message, message_id, "refused_by_store", str(result))
            elif result is None or isinstance(result, StoreError):
                failures.append(Failure(transfer, result))
        self._stored(stored)
        self._in_flight.release(refused)
        errors = [failure.error for failure in failures if failure.error]
        self._telemetry.attempts_failed(errors, reading=isinstance(transfers[0], Download))
        if not failures:
            self._telemetry.store_works()
        return failures

    def _stored(self, stored: dict[Outcome, list[Upload]]) -> None:
        self._telemetry.stored(stored, self._clock.now())
        uploads = [upload for uploads in stored.values() for upload in uploads]
        self._succeeded[Upload] += len(uploads)
        self._in_flight.acknowledge([message for upload in uploads for message in upload.messages])

    def _succeeded_like(self, transfers: Sequence[Transfer]) -> int:
        return self._succeeded[type(transfers[0])]

    def _may_wait(self) -> bool:
        """Extend what is due while the lane waits; return whether it may go on waiting."""
        self._beat()
        return self._extend() and not self._stop_events.requested.is_set()

    def _extend(self) -> bool:
        return self._in_flight.extend(self._clock.monotonic())

    def _pause(self, seconds: float) -> None:
        self._beat()
        until_extension = self._in_flight.seconds_until_extension(self._clock.monotonic())
        self._clock.wait(self._stop_events.requested, min(seconds, max(1.0, until_extension)))
