"""The bytes of requests that a worker may hold at once."""

import threading

SMALL_REQUEST_BYTES = 64 * 1024
_LARGE_SHARE = 0.75  # the rest is reserved for small requests


class Budget:
    """Counts held bytes. The main thread takes; the threads that answer give back."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._taken = 0

    def take(self, count: int) -> None:
        """Count bytes."""
        with self._lock:
            self._taken += count

    def give_back(self, count: int) -> None:
        """Stop counting bytes."""
        with self._lock:
            self._taken -= count

    def has_room(self, held: int, count: int) -> bool:
        """Return whether a request that holds `held` bytes may take `count` more."""
        large = held + count > SMALL_REQUEST_BYTES
        return self._taken + count <= self._max_bytes * (_LARGE_SHARE if large else 1)
