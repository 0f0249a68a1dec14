"""The consumer as a whole: its lanes as threads, started, watched and stopped together."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from service2_consumer.backoff import Clock
from service2_consumer.consumer import Lane
from service2_consumer.pace import Stopping

_LOOK_SECONDS = 0.1


class Consumer:
    """Runs lanes; `stop`, `join` and `give_up` are apart, so that the caller decides how long to wait for what."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        stopping: Stopping,
        clock: Clock,
        *,
        liveness_seconds: float,
        when_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._lanes = lanes
        self._stopping = stopping
        self._clock = clock
        self._liveness_seconds = liveness_seconds
        self._when_refused = when_refused
        # Daemons: a lane that hangs in a call must not keep the process once it was given up.
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=f"lane-{i}", daemon=True)
            for i, lane in enumerate(lanes)
        ]

    def _run(self, lane: Lane) -> None:
        lane.run()
        if lane.refusal:
            self._when_refused()

    def start(self) -> None:
        """Start every lane."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask every lane to take no more and to finish what it has."""
        self._stopping.requested.set()

    def give_up(self) -> None:
        """Ask every lane to release at once what is not stored yet."""
        self._stopping.requested.set()
        self._stopping.gave_up.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the lanes to end, and tell whether all have."""
        deadline = self._clock.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def join_but_polls(self, timeout_seconds: float) -> bool:
        """Once given up: wait for the lanes, but for no long poll; tell whether nothing that is held is left behind.

        A poll cannot be broken off: what it still brings shows again after its visibility timeout.
        """
        deadline = self._clock.monotonic() + timeout_seconds
        while not self.join(_LOOK_SECONDS):
            lanes = [lane for lane, thread in zip(self._lanes, self._threads, strict=True) if thread.is_alive()]
            if all(lane.receiving for lane in lanes):
                for lane in lanes:
                    lane.release_held()  # open batches; the lane itself will find nothing left to release
                return True
            if self._clock.monotonic() >= deadline:
                return False
        return True

    def lanes_alive(self) -> int:
        """Count the lanes that turn: none of their calls lasts for longer than any deadline allows."""
        now = self._clock.monotonic()
        return sum(
            thread.is_alive() and now - lane.last_beat_seconds <= self._liveness_seconds
            for lane, thread in zip(self._lanes, self._threads, strict=True)
        )

    @property
    def alive(self) -> bool:
        """Tell whether every lane turns, whatever SQS and S3 answer; while stopping, lanes may have ended."""
        return self._stopping.requested.is_set() or self.lanes_alive() == len(self._lanes)

    @property
    def ready(self) -> bool:
        """Tell whether queue and bucket have proven to work, no lane sees either fail, and nothing is stopping."""
        return all(lane.well for lane in self._lanes) and not self._stopping.requested.is_set()

    @property
    def refusal(self) -> str:
        """Give why the consumer refuses to work with this archive; empty: it does not refuse."""
        return next((lane.refusal for lane in self._lanes if lane.refusal), "")

    @property
    def last_poll_at(self) -> datetime | None:
        """Give the time of the latest receive that SQS answered."""
        return max((lane.last_poll_at for lane in self._lanes if lane.last_poll_at), default=None)
