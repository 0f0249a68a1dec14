import json
import logging
from collections.abc import Iterator

import pytest

from pillarbox import logs


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("pillarbox", "service1_api", "service2_consumer"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_an_event_is_one_json_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("service1-api")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("service1_api.x").exception("failed", extra={"cause": object})
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert "RuntimeError: broken" in event["exception"]
    assert event["cause"] == "<class 'object'>"


def test_the_level_holds_for_the_services_and_libraries_stay_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("service2-consumer", "DEBUG")
    logging.getLogger("service2_consumer.x").debug("mine")
    logging.getLogger("botocore.endpoint").debug("a body")
    logging.getLogger("botocore.endpoint").info("a header")
    logging.getLogger("botocore.endpoint").warning("a warning")
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["mine", "a warning"]


def test_a_higher_level_quietens_everything(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("service2-consumer", "ERROR")
    logging.getLogger("service2_consumer.x").warning("mine")
    logging.getLogger("botocore").warning("a warning")
    assert capsys.readouterr().err == ""
