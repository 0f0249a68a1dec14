"""The log in the background: every line, in order, and at once where it matters."""

import json
import logging
import os

from common.testing.waiting import eventually as until
from service1_api.log_writer import LogWriter


def lines_of(read_end: int) -> list[str]:
    return os.read(read_end, 1_000_000).decode().splitlines()


def events_of(lines: list[str]) -> list[str]:
    return [json.loads(line)["event"] for line in lines]


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("test", level, "", 0, text, None, None)


def test_lines_are_written_in_order_by_the_thread() -> None:
    read_end, write_end = os.pipe()
    writer = LogWriter("test", write_end)
    thread = writer.start()
    for number in range(100):
        writer.handle(record(str(number)))
    writer.stop()
    thread.join(10)
    assert events_of(lines_of(read_end)) == [str(number) for number in range(100)]


def test_a_warning_is_written_at_once_after_what_came_before() -> None:
    read_end, write_end = os.pipe()
    writer = LogWriter("test", write_end)
    writer.handle(record("before"))
    writer.handle(record("now", logging.WARNING))
    assert events_of(lines_of(read_end)) == ["before", "now"]


def test_a_thread_that_runs_writes_without_being_asked() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    writer = LogWriter("test", write_end)
    thread = writer.start()
    writer.handle(record("quiet"))
    found: list[str] = []

    def arrived() -> bool:
        try:
            found.extend(lines_of(read_end))
        except BlockingIOError:
            return False
        return True

    until(arrived)
    assert '"event":"quiet"' in found[0]
    writer.stop()
    thread.join(10)


def test_an_event_that_is_told_is_the_line_that_logging_would_give() -> None:
    read_end, write_end = os.pipe()
    writer, logger = LogWriter("test", write_end), logging.getLogger("service1_api.test_log_writer")
    fields = {"status": 200, "milliseconds": 1.5, "trace_id": "a\u00e9\n"}
    logger.addHandler(writer)
    logger.warning("request", extra=fields)
    logger.removeHandler(writer)
    writer.tell(logger, logging.WARNING, "request", fields)
    writer.flush()
    logged, told = (json.loads(line) for line in lines_of(read_end))
    assert logged.pop("time")[:16] <= told.pop("time")[:16]
    assert list(logged.items()) == list(told.items())
