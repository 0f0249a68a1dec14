"""One log line for each change of state."""

import logging

import pytest

from service2_consumer.outage_log import OutageLog


@pytest.fixture
def outage_log(caplog: pytest.LogCaptureFixture) -> OutageLog:
    caplog.set_level(logging.INFO)
    return OutageLog(logging.getLogger("test"), "S3", "messages are kept")


def test_single_failure_is_not_logged(outage_log: OutageLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        outage_log.failed("timeout")
        outage_log.recovered()
    assert caplog.messages == []
    assert not outage_log.active


def test_outage_is_logged_when_it_begins_changes_and_ends(
    outage_log: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    for cause in ["timeout", "timeout", "throttled", "timeout", "throttled"]:
        outage_log.failed(cause)
    assert outage_log.active
    outage_log.recovered()
    outage_log.recovered()
    assert caplog.messages == ["S3 fails: messages are kept", "S3 fails: messages are kept", "S3 works again"]


def test_outage_that_needs_an_operator_is_an_error_at_once(
    outage_log: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    outage_log.failed("access_denied", needs_operator=True)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
