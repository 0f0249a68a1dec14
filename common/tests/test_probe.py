from datetime import UTC, datetime

from pillarbox.ids import message_id_at, new_message_id, parse_message_id, time_of
from pillarbox.object_key import RESERVED_PREFIXES
from pillarbox.probe import PROBE_NODE, PROBE_PREFIX, PROBE_SENDER, is_probe, is_probe_id, new_probe_id, probe_key

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_an_id_of_a_probe_is_a_message_id_of_now() -> None:
    message_id = new_probe_id()
    assert parse_message_id(message_id) == message_id
    assert is_probe_id(message_id)
    assert abs((time_of(message_id) - datetime.now(UTC)).total_seconds()) < 60


def test_ids_of_probes_differ() -> None:
    assert len({new_probe_id() for _ in range(20)}) == 20


def test_a_probe_needs_the_id_and_the_sender() -> None:
    message_id = new_probe_id()
    assert is_probe(message_id, PROBE_SENDER)
    assert not is_probe(message_id, "jane@example.com")
    assert not is_probe(new_message_id(), PROBE_SENDER)
    assert not is_probe(message_id, None)


def test_the_key_of_a_probe_lies_where_no_customers_email_can() -> None:
    message_id = message_id_at(NOON, bytes(10))[:-12] + PROBE_NODE
    assert probe_key(message_id) == f"health/probe/2026/11/28/{message_id}.json"
    assert PROBE_PREFIX.startswith(RESERVED_PREFIXES)
