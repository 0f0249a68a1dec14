"""Metrics and log lines about the outcome of messages."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from service2_consumer.metrics import Metrics
from service2_consumer.model import InFlightMessage, Outcome, Upload
from service2_consumer.ports import StoreError
from service2_consumer.telemetry import Telemetry

from .fakes import START


class Reports:
    """One lane's telemetry, its metrics and its log lines."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self.caplog = caplog
        self.metrics = Metrics(CollectorRegistry())
        self.telemetry = Telemetry(self.metrics)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"pillarbox_consumer_{name}", labels) or 0


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> Reports:
    return Reports(caplog)


def message(number: int = 1, receive_count: int = 1) -> InFlightMessage:
    return InFlightMessage("sqs", f"r{number}", "", {}, START, receive_count, message_id=f"id-{number}")


def upload(*messages: InFlightMessage) -> Upload:
    ids = [message.message_id for message in messages]
    return Upload("key", b"12345", "", "", "", "conflicts/key", messages=messages, message_ids=ids)


def uploads(**found: list[Upload]) -> dict[Outcome, list[Upload]]:
    return {outcome: found.get(outcome.value, []) for outcome in Outcome}


def test_a_conflict_is_logged_with_the_id_and_the_key_that_took_it(reports: Reports) -> None:
    reports.telemetry.stored(uploads(conflict=[upload(message())]), START)
    (line,) = reports.caplog.records
    assert line.message == "message id reused with different content; stored under conflicts/"
    assert (line.message_id, line.key) == ("id-1", "conflicts/key")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("outcome", "size"), [(Outcome.STORED, 5), (Outcome.DUPLICATE, 0), (Outcome.CONFLICT, 5)])
def test_a_duplicate_writes_no_bytes(reports: Reports, outcome: Outcome, size: int) -> None:
    reports.telemetry.stored(uploads(**{outcome.value: [upload(message())]}), START)
    assert reports.value("stored_bytes_total") == size


def test_the_messages_of_an_attempt_are_one_line_for_each_outcome(reports: Reports) -> None:
    found_stored = [upload(message(1)), upload(message(2))]
    stored = uploads(stored=found_stored, duplicate=[upload(message(3))], conflict=[upload(message(4))])
    reports.telemetry.stored(stored, START + timedelta(seconds=3))
    found = [(r.message, r.message_ids) for r in reports.caplog.records[:2]]  # type: ignore[attr-defined]
    assert found == [("stored", ["id-1", "id-2"]), ("duplicate", ["id-3"])]
    assert [reports.value(f"{name}_total") for name in ("stored", "duplicates", "conflicts")] == [2, 1, 1]
    assert reports.value("age_seconds_sum") == 6


def test_poison_is_reported_on_its_first_receive_only(reports: Reports) -> None:
    for receive_count in (1, 2, 3):
        reports.telemetry.poison(message(1, receive_count), "id-1", "invalid_json", "is no JSON")
    assert reports.value("invalid_total", reason="invalid_json") == 1
    assert len(reports.caplog.records) == 1


def test_full_lane_is_logged_at_begin_and_end(reports: Reports) -> None:
    for messages, full in ((3, False), (10, True), (11, True), (2, False), (0, False)):
        reports.telemetry.set_aside(messages, full=full)
        assert (reports.value("set_aside"), reports.value("lanes_full")) == (messages, full)
    assert len(reports.caplog.records) == 2


def test_outage_names_the_failure_that_needs_an_operator(reports: Reports) -> None:
    reports.telemetry.store_failed([StoreError("timeout"), StoreError("access_denied", "AccessDenied")])
    (line,) = reports.caplog.records
    assert (line.levelname, line.cause) == ("ERROR", "access_denied AccessDenied")  # type: ignore[attr-defined]
    assert (reports.telemetry.store_fails, reports.value("store_healthy")) == (True, 0)
    reports.telemetry.store_works()
    assert (reports.telemetry.store_fails, reports.value("store_healthy")) == (False, 1)


def test_single_failure_leaves_the_store_healthy(reports: Reports) -> None:
    reports.telemetry.store_works()
    reports.telemetry.store_failed([StoreError("timeout")])
    assert (reports.telemetry.store_fails, reports.value("store_healthy")) == (False, 1)


def test_refused_object_counts_each_of_its_messages(reports: Reports) -> None:
    reports.telemetry.store_refused(upload(message(1), message(2)), "server_error InternalError", 12)
    assert reports.value("invalid_total", reason="store_refused") == 2
    (line,) = reports.caplog.records
    assert (line.message_ids, line.tries) == (["id-1", "id-2"], 12)  # type: ignore[attr-defined]


def test_object_failing_alone_is_logged_with_its_ids(reports: Reports) -> None:
    reports.telemetry.fails_alone(upload(message()), "server_error")
    (line,) = reports.caplog.records
    assert line.message.startswith("fails while the store works")
    assert line.message_ids == ["id-1"]  # type: ignore[attr-defined]


def test_a_probe_is_counted_apart(reports: Reports) -> None:
    probe = replace(upload(message(2)), key="health/probe/x.json")
    reports.telemetry.stored(uploads(stored=[upload(message(1)), probe]), START)
    counted = {name: reports.value(f"{name}_total") for name in ("stored", "probes", "stored_bytes")}
    assert counted == {"stored": 1, "probes": 1, "stored_bytes": 5}
    assert reports.value("age_seconds_count") == 1


def test_a_probe_that_was_stored_before_is_reported_as_other_emails_are(reports: Reports) -> None:
    probe = replace(upload(message(2)), key="health/probe/x.json")
    reports.telemetry.stored(uploads(duplicate=[probe], conflict=[probe]), START)
    counted = {name: reports.value(f"{name}_total") for name in ("probes", "duplicates", "conflicts")}
    assert counted == {"probes": 0, "duplicates": 1, "conflicts": 1}
    assert [line.levelname for line in reports.caplog.records] == ["INFO", "WARNING"]
