"""The dashboards of the two workloads that run the consumer: service2-consumer for e-mails, file-intake for files."""

from monitoring.panels import CHOSEN, Board, Panel, Row
from monitoring.pods import pods_row
from monitoring.queries import quantile, rate, total

_PREFIX = "pillarbox_consumer"
_LATE_SECONDS = 60


def consumer() -> Board:
    """Return the board of service2-consumer."""
    container = "service2-consumer"
    return Board(
        "consumer",
        "Pillarbox / Consumer",
        "service2-consumer: from SQS to the archive.",
        f'{{namespace=~"${{namespace:regex}}",container="{container}"}}',
        '{resource.service.name="service2-consumer"}',
        [_messages(container), _store(container), _queue(container), pods_row(container)],
    )


def files() -> Board:
    """Return the board of file-intake."""
    container = "file-intake"
    return Board(
        "files",
        "Pillarbox / Files",
        "file-intake: from the inbox to the archive.",
        f'{{namespace=~"${{namespace:regex}}",container="{container}"}}',
        '{resource.service.name="service2-consumer"}',
        [_messages(container), _reads(container), _store(container), _queue(container), pods_row(container)],
    )


def _selector(container: str) -> str:
    return f'container="{container}",{CHOSEN}'


def _messages(container: str) -> Row:
    chosen = _selector(container)
    outcomes = {
        rate(f"{_PREFIX}_{name}_total", "container", chosen): name
        for name in ("received", "stored", "duplicates", "conflicts", "released")
    }
    ages = {quantile(q, f"{_PREFIX}_age_seconds", chosen): f"p{q * 100:g}" for q in (0.5, 0.9, 0.99)}
    invalid = {f"sum by (reason) (increase({_PREFIX}_invalid_total{{{chosen}}}[1h]))": "{{reason}}"}
    late = "Of what was archived for the first time. "
    late += "The objective's limit is drawn." if container == "service2-consumer" else "Files have no objective."
    limit = _LATE_SECONDS if container == "service2-consumer" else None
    return Row(
        "Messages",
        [
            Panel("Messages", "short", outcomes, "A second. Received counts redeliveries."),
            Panel("Time from sent to archived", "s", ages, late, limit),
            Panel("Never to be stored, in an hour", "short", invalid, "By reason; they go to the dead letters."),
        ],
    )


def _reads(container: str) -> Row:
    chosen = _selector(container)
    seconds = {quantile(q, f"{_PREFIX}_read_seconds", chosen): f"p{q * 100:g}" for q in (0.5, 0.99)}
    read = {rate(f"{_PREFIX}_read_bytes_total", "pod", chosen): "{{pod}}"}
    failures = {rate(f"{_PREFIX}_read_failures_total", "cause", chosen): "{{cause}}"}
    skipped = {f"sum by (reason) (increase({_PREFIX}_skipped_total{{{chosen}}}[1h]))": "{{reason}}"}
    return Row(
        "Files",
        [
            Panel("Read", "Bps", read, "From the inbox.", width=6),
            Panel("Time of a read", "s", seconds, "One attempt.", width=6),
            Panel("Failed reads", "short", failures, "Attempts a second, by cause.", width=6),
            Panel("Skipped", "short", skipped, "Acknowledged without an object, in an hour.", width=6),
        ],
    )


def _store(container: str) -> Row:
    chosen = _selector(container)
    seconds = {quantile(q, f"{_PREFIX}_store_seconds", chosen): f"p{q * 100:g}" for q in (0.5, 0.99)}
    lanes = {
        f"sum by (container) ({_PREFIX}_{name}{{{chosen}}})": text
        for name, text in (("lanes_alive", "alive"), ("lanes_full", "full"))
    }
    held = {f"sum by (container) ({_PREFIX}_{n}{{{chosen}}})": n.replace("_", " ") for n in ("in_flight", "set_aside")}
    failures = {rate(f"{_PREFIX}_store_failures_total", "cause", chosen): "{{cause}}"}
    healthy = {f"min by (pod) ({_PREFIX}_store_healthy{{{chosen}}})": "{{pod}}"}
    written = {rate(f"{_PREFIX}_stored_bytes_total", "pod", chosen): "{{pod}}"}
    return Row(
        "Archive",
        [
            Panel("Store healthy", "short", healthy, "0: S3 takes no writes.", 1, good_above=True, maximum=1),
            Panel("Time of a write", "s", seconds, "One attempt."),
            Panel("Failed writes", "short", failures, "Attempts a second, by cause.", stacked=True),
            Panel("Lanes", "short", lanes, "Full: it receives nothing, since too many of its objects fail."),
            Panel("In flight", "short", held, "Messages received and not yet deleted or released."),
            Panel("Written", "Bps", written, "To S3."),
        ],
    )


def _queue(container: str) -> Row:
    chosen = _selector(container)
    depth = {f"max by (state) ({_PREFIX}_queue_messages{{{chosen}}})": "{{state}}"}
    dead = {f"max by (container) ({_PREFIX}_dead_letters{{{chosen}}})": "dead letters"}
    polls = {rate(f"{_PREFIX}_polls_total", "outcome", chosen): "{{outcome}}"}
    seconds = {quantile(0.99, f"{_PREFIX}_receive_seconds", chosen): "p99"}
    deletes = {
        total(f"{_PREFIX}_deleted_total", chosen): "deleted",
        total(f"{_PREFIX}_delete_failures_total", chosen): "failed",
    }
    keda = {
        f'max by (scaledObject) (keda_scaler_metrics_value{{scaledObject="{container}"}})': "messages that KEDA sees",
        f'max by (scaledObject) (keda_scaler_active{{scaledObject="{container}"}})': "active",
    }
    return Row(
        "Queue",
        [
            Panel("Queue", "short", depth, "As SQS estimates; not updated without a running pod."),
            Panel("Dead letters", "short", dead, "Messages in the dead-letter queue.", 1),
            Panel("KEDA", "short", keda, "Of KEDA's operator, where it is scraped."),
            Panel("Receives", "short", polls, "A second, by outcome."),
            Panel("Time of a receive", "s", seconds, "The long poll included."),
            Panel("Deletes", "short", deletes, "A second, after the object is there."),
        ],
    )
