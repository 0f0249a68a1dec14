"""The consumer: runs its lanes as threads, watches them and stops them together."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from service2_consumer.clock import Clock, StopEvents
from service2_consumer.lane import Lane

_CHECK_SECONDS = 0.1


class Consumer:
    """Runs lanes. The caller decides how long to wait between `stop`, `join` and `abandon`."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        stop_events: StopEvents,
        clock: Clock,
        *,
        liveness_seconds: float,
        on_refusal: Callable[[], None] = lambda: None,
    ) -> None:
        self._lanes = lanes
        self._stop_events = stop_events
        self._clock = clock
        self._liveness_seconds = liveness_seconds
        self._on_refusal = on_refusal
        # Daemon threads: a lane that hangs in a call must not keep the process running.
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=f"lane-{i}", daemon=True)
            for i, lane in enumerate(lanes)
        ]

    def _run(self, lane: Lane) -> None:
        lane.run()
        if lane.refusal:
            self._on_refusal()

    def start(self) -> None:
        """Start every lane."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask every lane to receive no more and to finish its work."""
        self._stop_events.requested.set()

    def abandon(self) -> None:
        """Ask every lane to release at once the messages that are not stored yet."""
        self._stop_events.requested.set()
        self._stop_events.abandoned.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the lanes to end; return whether all have."""
        deadline = self._clock.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def join_except_polls(self, timeout_seconds: float) -> bool:
        """After `abandon`, wait for the lanes but not for long polls; return whether no lane still holds messages.

        A poll cannot be cancelled. The messages that it still receives return after their visibility timeout.
        """
        deadline = self._clock.monotonic() + timeout_seconds
        while not self.join(_CHECK_SECONDS):
            lanes = [lane for lane, thread in zip(self._lanes, self._threads, strict=True) if thread.is_alive()]
            if all(lane.receiving for lane in lanes):
                for lane in lanes:
                    lane.release_all()  # of open batches; the lane then finds nothing left to release
                return True
            if self._clock.monotonic() >= deadline:
                return False
        return True

    def lanes_alive(self) -> int:
        """Return the number of lanes that make progress: no call takes longer than `liveness_seconds`."""
        now = self._clock.monotonic()
        return sum(
            thread.is_alive() and now - lane.last_beat_seconds <= self._liveness_seconds
            for lane, thread in zip(self._lanes, self._threads, strict=True)
        )

    @property
    def alive(self) -> bool:
        """Return whether every lane makes progress, whatever SQS and S3 answer; always true while stopping."""
        return self._stop_events.requested.is_set() or self.lanes_alive() == len(self._lanes)

    @property
    def ready(self) -> bool:
        """Return whether the checks of queue and bucket succeeded, neither fails now, and no stop is requested."""
        return all(lane.well for lane in self._lanes) and not self._stop_events.requested.is_set()

    @property
    def refusal(self) -> str:
        """Return why the consumer refuses to work with this archive; empty if it does not refuse."""
        return next((lane.refusal for lane in self._lanes if lane.refusal), "")

    @property
    def last_poll_at(self) -> datetime | None:
        """Return the time of the latest receive that SQS answered."""
        return max((lane.last_poll_at for lane in self._lanes if lane.last_poll_at), default=None)
