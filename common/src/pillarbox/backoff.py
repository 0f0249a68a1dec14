"""Pauses between attempts: exponential back-off with jitter."""

import random
from collections.abc import Callable


class Backoff:
    """Delays that double from `first_seconds` to `longest_seconds`, each multiplied by a random factor of 0.5 to 1.

    The factor has a minimum because full jitter makes a tenth of the callers retry almost at once.
    """

    def __init__(
        self, first_seconds: float, longest_seconds: float, chance: Callable[[], float] = random.random
    ) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._chance = chance
        self._next = first_seconds

    def next_seconds(self) -> float:
        """Return the next delay."""
        ceiling, self._next = self._next, min(self._longest, 2 * self._next)
        return ceiling * (0.5 + self._chance() / 2)

    def reset(self) -> None:
        """Start again with the first delay."""
        self._next = self._first
