"""JSON logging: one event a line on standard error, its fields beside the text."""

import atexit
import logging
import os
import sys
import threading
from collections import deque
from datetime import UTC, datetime

import orjson

FLUSH_SECONDS = 0.05
_MAX_LINES = 10_000  # kept while standard error is blocked; beyond it the oldest lines are lost, memory stays bounded
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as {"time", "level", "service", "logger", "event", …}: each key of `extra` becomes a field."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        created = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class BufferingHandler(logging.Handler):
    """Formats on the caller's thread and writes every FLUSH_SECONDS from its own; writes a warning or worse at once.

    The caller waits neither for standard error nor for a lock.
    """

    def __init__(self, service: str, file_descriptor: int = 2) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(service))
        self._file_descriptor = file_descriptor
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._writing = threading.Lock()
        self._stopped = threading.Event()

    def createLock(self) -> None:  # noqa: N802  # logging's name
        """Use no lock: appending to a deque needs none."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Buffer a record that passes the filters. The base class requires a lock from Python 3.13 on."""
        passes = bool(self.filter(record))
        if passes:
            self.emit(record)
        return passes

    def emit(self, record: logging.LogRecord) -> None:
        """Buffer a record."""
        self._lines.append(self.format(record))
        if record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if lines:
                text = memoryview(("\n".join(lines) + "\n").encode(errors="backslashreplace"))
                while text:
                    text = text[os.write(self._file_descriptor, text) :]

    def start(self) -> threading.Thread:
        """Start the thread that writes until `stop`; write the rest when the process ends."""
        atexit.register(self.flush)
        thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Let the thread end."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self.flush()
        self.flush()


def configure(service: str, level: str = "INFO") -> None:
    """Send every logger of the process through one JSON handler, at `level`, a level name of the standard library.

    Libraries stay at WARNING or above: botocore and urllib3 log bodies and signed headers at DEBUG.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    for name in ("pillarbox", "pillarbox_aws", "pillarbox_otel", "service1_api", "service2_consumer"):
        logging.getLogger(name).setLevel(level)


def buffer(service: str) -> BufferingHandler:
    """Replace the root logger's handler with a started BufferingHandler. Call it after the fork."""
    # No one reads these fields, and each costs time at every line (logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = BufferingHandler(service)
    logging.getLogger().handlers[:] = [handler]
    handler.start()
    return handler
