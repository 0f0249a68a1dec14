"""gunicorn's own log lines, through the service's JSON handler."""

import logging
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]


class JsonLogger(Logger):  # type: ignore[misc]
    """Passes every line to the root logger, whose handler writes JSON."""

    def setup(self, cfg: Any) -> None:
        """Remove gunicorn's handlers. Never log below INFO: at DEBUG gunicorn logs what clients have sent."""
        super().setup(cfg)
        for own in (self.error_log, self.access_log):
            own.handlers.clear()
            own.propagate = True
            own.setLevel(max(logging.INFO, own.level))
