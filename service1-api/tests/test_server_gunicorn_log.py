"""gunicorn's log lines: through the root logger, and never below INFO."""

import logging
from collections.abc import Iterator

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from service1_api.server import JsonLogger


@pytest.fixture(autouse=True)
def _loggers_restored() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("gunicorn.error", "gunicorn.access")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


def logger_at(level: str) -> JsonLogger:
    config = Config()
    config.set("loglevel", level)
    return JsonLogger(config)


def test_lines_reach_the_root_logger_and_no_handler_of_gunicorn(caplog: pytest.LogCaptureFixture) -> None:
    logger = logger_at("info")
    logger.info("Booting worker with pid: %s", 7)
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("gunicorn.error", "Booting worker with pid: 7")
    assert logger.error_log.handlers == logger.access_log.handlers == []


@pytest.mark.parametrize(
    ("configured", "effective"), [("debug", logging.INFO), ("info", logging.INFO), ("error", logging.ERROR)]
)
def test_level_is_never_below_info(caplog: pytest.LogCaptureFixture, configured: str, effective: int) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logger_at(configured)
    logger.debug("what a client has sent")
    assert logger.error_log.getEffectiveLevel() == effective
    assert caplog.records == []
