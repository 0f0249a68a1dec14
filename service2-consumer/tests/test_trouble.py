"""One log line a change of state."""

import logging

import pytest

from service2_consumer.backoff import Backoff
from service2_consumer.trouble import Trouble


@pytest.fixture
def trouble(caplog: pytest.LogCaptureFixture) -> Trouble:
    caplog.set_level(logging.INFO)
    return Trouble(logging.getLogger("test"), "S3", "messages are kept")


def test_a_single_failure_is_not_worth_a_line(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        trouble.failed("timeout")
        trouble.ended()
    assert caplog.messages == []
    assert not trouble.lasts


def test_a_trouble_is_told_when_it_begins_changes_and_ends(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    for cause in ["timeout", "timeout", "throttled", "timeout", "throttled"]:
        trouble.failed(cause)
    assert trouble.lasts
    trouble.ended()
    trouble.ended()
    assert caplog.messages == ["S3 fails: messages are kept", "S3 fails: messages are kept", "S3 works again"]


def test_a_loud_trouble_is_an_error_at_once(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    trouble.failed("access_denied", loud=True)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(("chance", "delays"), [(0.0, [0.5, 1, 2, 2.5, 2.5]), (1.0, [1, 2, 4, 5, 5])])
def test_a_back_off_doubles_to_its_longest_with_half_of_it_left_to_chance(chance: float, delays: list[float]) -> None:
    backoff = Backoff(1, 5, lambda: chance)
    assert [backoff.next_seconds() for _ in range(5)] == delays
    backoff.reset()
    assert backoff.next_seconds() == delays[0]
