"""Storing a lane's objects: attempts, outages, and objects that fail while the store works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service2_consumer.aside import SetAside, Waiting
from service2_consumer.backoff import Backoff, Clock
from service2_consumer.holding import Holding
from service2_consumer.journal import Journal
from service2_consumer.layouts import Held, NewObject, Parcel
from service2_consumer.pace import Pace, Stopping
from service2_consumer.pool import Pool
from service2_consumer.ports import Archive, Outcome, RefusedObjectError, Result, StoreError

# One attempt stores no more than one receive may bring: the pool has as many threads for each lane.
_MOST_AT_ONCE = 10

# What these say holds for every object. They never count against one.
_NEVER_ITS_OWN = frozenset({"throttled", "credentials", "no_such_bucket"})
# These count against an object only if another object was stored meanwhile. The probe is small and has a key of its
# own: it may pass while a policy forbids all other keys, or while the network drops all longer requests.
_ITS_OWN_AMONG_OTHERS = frozenset({"access_denied", "timeout", "connection"})


@dataclass(frozen=True, slots=True)
class _Failure:
    """An object that one attempt did not store; `error` is None when the attempt was broken off."""

    parcel: Parcel
    error: StoreError | None


class Delivery:
    """Stores one lane's objects and acknowledges, as the last step, the messages of those that are stored.

    When nothing can be stored it keeps the messages and tries again: an outage spends one receive of each. An object
    that fails while the store works is set aside, so that the lane goes on; after `Pace.tries_alone` failures its
    messages are released and count towards the dead-letter queue.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        pool: Pool[NewObject, Result],
        holding: Holding,
        journal: Journal,
        pace: Pace,
        stopping: Stopping,
        clock: Clock,
        beat: Callable[[], None],
    ) -> None:
        self._archive = archive
        self._pool = pool
        self._holding = holding
        self._journal = journal
        self._pace = pace
        self._stopping = stopping
        self._clock = clock
        self._beat = beat
        self._aside = SetAside()
        self._stored = 0

    def has_room(self) -> bool:
        """Tell, and note, whether the lane may receive: what is set aside leaves room for what fails next."""
        full = self._aside.full
        self._journal.set_aside(self._aside.messages, full=full)
        return not full

    def seconds_until_due(self, now_seconds: float) -> float | None:
        """Tell when an object set aside is to be tried, or its messages hidden, again; None: there is none."""
        due = self._aside.seconds_until_due(now_seconds)
        return None if due is None else max(0.0, min(due, self._holding.seconds_until_extension(now_seconds)))

    def clear(self) -> None:
        """Forget what is set aside: its messages are released."""
        self._aside.clear()
        self._journal.set_aside(0, full=False)

    def deliver(self, parcels: list[Parcel]) -> bool:
        """Store parcels, however long an outage takes; leave some only when stopping.

        Returns False when messages were held as long as SQS allows: then the caller has to release everything.
        """
        backoff = Backoff(0.1, self._pace.longest_backoff_seconds)
        if parcels and self._aside and not self._keep():
            return False
        stored_before, failed_once = self._stored, False
        while parcels:
            failures = self._attempt(parcels)
            parcels = [failure.parcel for failure in failures]
            if not parcels or self._stopping.requested.is_set():
                break
            if failed_once and self._works(failures, stored_before):  # most of what fails once is stored by a 2nd try
                self._aside.add(parcels, self._clock.monotonic(), self._stored)
                break
            failed_once, stored_before = True, stored_before if not failed_once else self._stored
            if not self._keep():
                return False
            self._pause(backoff.next_seconds())
        return True

    def retry(self) -> bool:
        """Try again what is set aside and due; returns False as `deliver` does."""
        if not self._aside:
            return True
        if not self._keep():
            return False
        due = self._aside.take_due(self._clock.monotonic(), _MOST_AT_ONCE)
        if due:
            failures = {id(failure.parcel): failure for failure in self._attempt([w.parcel for w in due])}
            self._judge([(w, failures[id(w.parcel)]) for w in due if id(w.parcel) in failures])
        return True

    def _judge(self, failed: Sequence[tuple[Waiting, _Failure]]) -> None:
        """Put back what failed again, and give up what has failed often enough through its own fault."""
        if not failed:
            return
        stored_before = min(waiting.stored_before for waiting, _ in failed)
        works = self._works([failure for _, failure in failed], stored_before)
        for waiting, failure in failed:
            own_fault = works and _own_fault(failure, among_others=self._stored > waiting.stored_before)
            waiting.faults += own_fault
            if own_fault and waiting.faults == 1:
                self._journal.fails_alone(waiting.parcel, str(failure.error))
            if waiting.faults >= self._pace.tries_alone:
                self._journal.store_refused(waiting.parcel, str(failure.error), waiting.faults)
                self._holding.scatter(waiting.parcel.messages)
            else:
                self._aside.put_back(waiting, self._clock.monotonic(), self._stored)

    def _works(self, failures: Sequence[_Failure], stored_before: int) -> bool:
        """Tell whether the store takes writes though these failed: it stored another object, or the probe."""
        errors = [failure.error for failure in failures if failure.error]
        if self._stored > stored_before:
            self._journal.store_works()
            return True
        if self._stopping.requested.is_set():
            return False
        try:
            self._archive.probe()
        except StoreError as exc:
            self._journal.store_failed([*errors, exc])
            return False
        finally:
            self._beat()
        if all(_own_fault(failure, among_others=False) for failure in failures):
            self._journal.store_works()
        else:
            self._journal.store_failed(errors)
        return True

    def _attempt(self, parcels: Sequence[Parcel]) -> list[_Failure]:
        """Try once to store parcels; acknowledge what is stored, release what never can be, give what failed."""
        results = self._pool.map([parcel.item for parcel in parcels], self._stopping.gave_up)
        self._beat()
        refused, failures = [], []
        stored: dict[Outcome, list[Held]] = {outcome: [] for outcome in Outcome}
        for parcel, result in zip(parcels, results, strict=True):
            if isinstance(result, Outcome):
                self._stored += 1
                stored[result] += parcel.messages
                self._journal.stored_object(parcel, result)
            elif isinstance(result, RefusedObjectError):
                refused += parcel.messages
                for held in parcel.messages:
                    self._journal.poison(held.receive_count, held.message_id, "refused_by_store", str(result))
            else:
                failures.append(_Failure(parcel, result))
        self._journal.stored(stored, self._clock.now())
        self._holding.acknowledge([held for messages in stored.values() for held in messages])
        self._holding.release(refused)
        self._journal.failed([failure.error for failure in failures if failure.error])
        if not failures:
            self._journal.store_works()
        return failures

    def _keep(self) -> bool:
        """Hide again what is held for long; returns False when SQS allows that no longer."""
        return not self._holding.extend(self._clock.monotonic())

    def _pause(self, seconds: float) -> None:
        self._beat()
        until_extension = self._holding.seconds_until_extension(self._clock.monotonic())
        self._clock.wait(self._stopping.requested, min(seconds, max(1.0, until_extension)))


def _own_fault(failure: _Failure, *, among_others: bool) -> bool:
    """Tell whether an object fails through its own fault, given that the store works; `among_others`: for others."""
    if failure.error is None or failure.error.cause in _NEVER_ITS_OWN:
        return False
    return among_others or failure.error.cause not in _ITS_OWN_AMONG_OTHERS
