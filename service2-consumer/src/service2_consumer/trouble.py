"""One log line a change of state, rather than one an attempt."""

import logging


class Trouble:
    """Follows one dependency; a single failure between successes stays quiet, for the next attempt mends it."""

    def __init__(self, logger: logging.Logger, name: str, consequence: str) -> None:
        self._logger = logger
        self._name = name
        self._consequence = consequence
        self._failures = 0
        self._reported: set[str] = set()

    @property
    def lasts(self) -> bool:
        """Tell whether it was reported and has not ended."""
        return bool(self._reported)

    def failed(self, cause: str, *, loud: bool = False) -> None:
        """Note a failure; `loud` is for what an operator must mend: reported at once, as an error."""
        self._failures += 1
        if cause in self._reported:
            return
        if loud or self._failures > 1:
            level = logging.ERROR if loud else logging.WARNING
            self._logger.log(level, "%s fails: %s", self._name, self._consequence, extra={"cause": cause})
            self._reported.add(cause)

    def ended(self) -> None:
        """Note a success."""
        if self._reported:
            self._logger.info("%s works again", self._name, extra={"failures": self._failures})
        self._failures = 0
        self._reported.clear()
