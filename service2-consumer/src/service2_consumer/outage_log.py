"""Logs the start and the end of an outage instead of each failed call."""

import logging


class OutageLog:
    """Follows one dependency. A single failure between successes is not logged: the next attempt succeeded."""

    def __init__(self, logger: logging.Logger, name: str, consequence: str) -> None:
        self._logger = logger
        self._name = name
        self._consequence = consequence
        self._failures = 0
        self._reported: set[str] = set()

    @property
    def active(self) -> bool:
        """Return whether an outage was logged and has not ended."""
        return bool(self._reported)

    def failed(self, cause: str, *, needs_operator: bool = False) -> None:
        """Record a failure. One that needs an operator is logged at once, as an error."""
        self._failures += 1
        if cause in self._reported:
            return
        if needs_operator or self._failures > 1:
            level = logging.ERROR if needs_operator else logging.WARNING
            self._logger.log(level, "%s fails: %s", self._name, self._consequence, extra={"cause": cause})
            self._reported.add(cause)

    def recovered(self) -> None:
        """Record a success."""
        if self._reported:
            self._logger.info("%s works again", self._name, extra={"failures": self._failures})
        self._failures = 0
        self._reported.clear()
