import json
import logging
import os
from collections.abc import Iterator

import pytest

from common.testing.waiting import eventually
from pillarbox import logs
from pillarbox.logs import BufferingHandler


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in logs.PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("service1-api")
    logging.getLogger("service1_api.x").info("stored\n%s", "it", extra={"message_id": "m-1", "status": 200})
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "INFO",
        "service": "service1-api",
        "logger": "service1_api.x",
        "event": "stored\nit",
        "message_id": "m-1",
        "status": 200,
    }


def test_exception_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("service1-api")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("service1_api.x").exception("failed", extra={"cause": object})
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert "RuntimeError: broken" in event["exception"]
    assert event["cause"] == "<class 'object'>"


def test_level_applies_to_the_services_and_libraries_log_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("service2-consumer", "DEBUG")
    logging.getLogger("service2_consumer.x").debug("mine")
    logging.getLogger("botocore.endpoint").debug("a body")
    logging.getLogger("botocore.endpoint").info("a header")
    logging.getLogger("botocore.endpoint").warning("a warning")
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["mine", "a warning"]


def test_higher_level_applies_to_libraries_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("service2-consumer", "ERROR")
    logging.getLogger("service2_consumer.x").warning("mine")
    logging.getLogger("botocore").warning("a warning")
    assert capsys.readouterr().err == ""


def lines_of(read_end: int) -> list[str]:
    return os.read(read_end, 1_000_000).decode().splitlines()


def events_of(lines: list[str]) -> list[str]:
    return [json.loads(line)["event"] for line in lines]


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("test", level, "", 0, text, None, None)


def test_lines_are_written_in_order_by_the_thread() -> None:
    read_end, write_end = os.pipe()
    handler = BufferingHandler("test", write_end)
    thread = handler.start()
    for number in range(100):
        handler.handle(record(str(number)))
    handler.stop()
    thread.join(10)
    assert events_of(lines_of(read_end)) == [str(number) for number in range(100)]


def test_warning_flushes_the_buffer() -> None:
    read_end, write_end = os.pipe()
    handler = BufferingHandler("test", write_end)
    handler.handle(record("before"))
    handler.handle(record("now", logging.WARNING))
    assert events_of(lines_of(read_end)) == ["before", "now"]


def test_running_thread_writes_by_itself() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    handler = BufferingHandler("test", write_end)
    thread = handler.start()
    handler.handle(record("quiet"))
    found: list[str] = []

    def arrived() -> bool:
        try:
            found.extend(lines_of(read_end))
        except BlockingIOError:
            return False
        return True

    eventually(arrived)
    assert '"event":"quiet"' in found[0]
    handler.stop()
    thread.join(10)
