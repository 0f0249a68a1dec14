from datetime import UTC, datetime, timedelta

import pytest

from pillarbox import ids


def test_new_id_is_a_uuidv7_of_the_current_time() -> None:
    before = datetime.now(UTC)
    message_id = ids.new_message_id()
    after = datetime.now(UTC)
    assert ids.parse_message_id(message_id) == message_id
    assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= ids.time_of(message_id) <= after


def test_new_ids_differ() -> None:
    assert len({ids.new_message_id() for _ in range(10_000)}) == 10_000


def test_time_of_the_example_in_rfc_9562_is_read() -> None:
    # Appendix A.6: Tuesday, February 22, 2022 2:22:22.00 PM GMT-05:00
    assert ids.time_of("017f22e2-79b0-7cc3-98c4-dc0c0c07398f") == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


def test_upper_case_id_is_converted_to_lower_case() -> None:
    assert ids.parse_message_id("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",  # version 4
        "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",  # another variant
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
        " 017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "../../../../etc/passwd",
        "\N{FULLWIDTH DIGIT ZERO}17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "ffffffff-ffff-7cc3-98c4-dc0c0c07398f",  # the year 10889
    ],
)
def test_invalid_id_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a UUIDv7 in its 36-character form \(RFC 9562\)$"):
        ids.parse_message_id(text)


def test_latest_time_of_datetime_is_read() -> None:
    latest = ids.message_id_at(datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC), b"\0" * 10)
    assert ids.time_of(ids.parse_message_id(latest)).year == 9999


@pytest.mark.parametrize("tail", [b"\0" * 10, b"\xff" * 10, b"0123456789abcdef"])
def test_id_of_a_time_and_a_tail_is_valid_and_deterministic(tail: bytes) -> None:
    timestamp = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
    message_id = ids.message_id_at(timestamp, tail)
    assert ids.parse_message_id(message_id) == message_id == ids.message_id_at(timestamp, tail)
    assert ids.time_of(message_id) == timestamp


NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("time", [NOW - timedelta(days=14), NOW, NOW + timedelta(minutes=5)])
@pytest.mark.parametrize("form", ["{}", '"{}"'])
def test_idempotency_key_is_the_message_id(time: datetime, form: str) -> None:
    message_id = ids.message_id_at(time, bytes(10))
    assert ids.parse_idempotency_key(form.format(message_id.upper()), NOW) == message_id


@pytest.mark.parametrize("time", [NOW - timedelta(days=14) - SECOND, NOW + timedelta(minutes=5) + SECOND])
def test_idempotency_key_of_another_time_is_refused(time: datetime) -> None:
    with pytest.raises(ValueError, match="at most 14 days ago and at most 5 minutes ahead"):
        ids.parse_idempotency_key(ids.message_id_at(time, bytes(10)), NOW)


@pytest.mark.parametrize("key", ["", '"', '""', "'017f22e2-79b0-7cc3-98c4-dc0c0c07398f'"])
def test_idempotency_key_that_is_no_uuidv7_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="must be a UUIDv7"):
        ids.parse_idempotency_key(key, NOW)


def test_ids_of_a_batch_are_distinct_deterministic_and_keep_the_time() -> None:
    message_id = ids.message_id_at(NOW, bytes(10))
    derived = ids.derived_ids(message_id, 3)
    assert derived == ids.derived_ids(message_id, 3)
    assert derived[:2] == ids.derived_ids(message_id, 2)
    assert len({*derived, message_id}) == 4
    assert {ids.time_of(ids.parse_message_id(one)) for one in derived} == {NOW}
