"""The log events of service2-consumer, for the table in logs.md."""

from dataclasses import replace

from docs.log_event import EMAIL, EMAILS, Event

_MAIN = Event("service2_consumer.__main__", "", "INFO", "")
_LANE = Event("service2_consumer.lane", "", "ERROR", "")
_TELEMETRY = Event("service2_consumer.telemetry", "", "WARNING", "")

CONSUMER = (
    replace(
        _MAIN,
        text="starting",
        fields=("version",),
        more="every setting",
        meaning="The settings are right; queue and bucket are checked next",
    ),
    replace(
        _MAIN,
        text="refusing to work: …",
        source="refusing to work: %s",
        levels="ERROR",
        meaning="The bucket overwrites objects; the text says what to do. The process ends with code 2",
    ),
    replace(
        _MAIN,
        text="stopping: receiving ends, messages in flight are stored or released",
        fields=("reason",),
        meaning="A signal came, or the consumer refuses to work",
    ),
    replace(
        _MAIN,
        text="stopping at once: messages not stored yet are released",
        levels="WARNING",
        meaning="The time to stop is over, or a second signal came",
    ),
    replace(
        _MAIN,
        text="stopped",
        fields=("reason", "clean"),
        more="the totals of the counters",
        meaning="`clean` false: a lane still held messages, which return after their visibility timeout",
    ),
    Event("service2_consumer.telemetry", "stored", "INFO", "Written to S3", EMAILS, source="outcome.value"),
    Event(
        "service2_consumer.telemetry",
        "duplicate",
        "INFO",
        "S3 held these e-mails already: a redelivery or a repeated request",
        EMAILS,
        source="outcome.value",
    ),
    replace(
        _TELEMETRY,
        text="message id reused with different content; stored under conflicts/",
        fields=(*EMAIL, "key"),
        meaning="A client used one id for two e-mails; both are kept",
    ),
    replace(
        _TELEMETRY,
        text="skipped",
        levels="INFO",
        fields=(*EMAIL, "reasons"),
        meaning="Acknowledged without an object, in whole or in part: `skipped_total` counts the reasons",
    ),
    replace(
        _TELEMETRY,
        text="can never be stored; redrive will move it to the dead-letter queue",
        fields=(*EMAIL, "reason", "problem"),
        meaning="Once, at the first receive. See [dead letters](operations.md#dead-letters)",
    ),
    replace(
        _TELEMETRY,
        text="fails while the store works; set aside and tried again with growing pauses",
        fields=("key", *EMAILS, "problem"),
        meaning="One object fails while others are stored",
    ),
    replace(
        _TELEMETRY,
        text="failed too often while the store works; released towards the dead-letter queue",
        levels="ERROR",
        fields=("key", *EMAILS, "reason", "problem", "tries"),
        meaning="`STORE_TRIES` is used up",
    ),
    replace(
        _TELEMETRY,
        text="a lane receives nothing until what it has set aside is stored or released",
        meaning="So many objects fail alone that the lane has no room",
    ),
    replace(_TELEMETRY, text="a lane receives again", levels="INFO", meaning="The end of it"),
    Event(
        "service2_consumer.outage_log",
        "SQS fails: …, S3 fails: …",
        "WARNING; ERROR if it needs an operator",
        "An outage began. Once for each cause and lane; the text says what the lane does meanwhile",
        ("cause",),
        source="%s fails: %s",
    ),
    Event(
        "service2_consumer.outage_log",
        "SQS works again, S3 works again",
        "INFO",
        "An outage ended after this many failed calls",
        ("failures",),
        source="%s works again",
    ),
    Event(
        "service2_consumer.sqs",
        "SQS returned malformed messages",
        "WARNING",
        "Messages without a body or receipt; they return after their visibility timeout",
        ("messages",),
    ),
    Event(
        "service2_consumer.in_flight",
        "delete failed; redelivery will be detected as a duplicate",
        "WARNING",
        "SQS did not delete stored messages",
        EMAILS,
    ),
    replace(
        _LANE,
        text="released what was not stored",
        levels="INFO",
        fields=("messages",),
        meaning="At the stop: this many messages are visible to other consumers again",
    ),
    replace(
        _LANE,
        text="messages were held as long as SQS allows; they return to the queue",
        fields=("messages",),
        meaning="S3 failed for twelve hours",
    ),
    replace(
        _LANE,
        text="a lane failed; it releases its messages and continues",
        fields=("exception",),
        meaning="A defect. The messages are received again",
    ),
    Event("service2_consumer.depth", "the queue's depth is unknown", "DEBUG", "SQS did not say", ("cause",)),
    Event(
        "service2_consumer.depth",
        "the queue's depth could not be read",
        "ERROR",
        "A defect; the next reading may succeed",
        ("exception",),
    ),
)
