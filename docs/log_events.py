"""The log events of both services and what they mean: the source of the table in logs.md.

A test compares this list with the log calls in the code.
"""

from dataclasses import replace

from docs.log_event import EMAIL, Event
from docs.log_events_consumer import CONSUMER

CALLER = "`client`, and `amzn_trace_id` behind a load balancer"

_CREDENTIALS = Event("pillarbox_aws.credentials", "", "WARNING", "", ("cause",))
_SDK = Event("pillarbox_otel.sdk", "", "WARNING", "")
_AWS = Event("service1_api.aws", "", "WARNING", "")

_BOTH = (
    replace(
        _CREDENTIALS,
        text="AWS credentials were not found yet",
        meaning="The first search for credentials failed; it goes on",
    ),
    replace(
        _CREDENTIALS,
        text="AWS credentials cannot be refreshed: …",
        source="text",
        meaning="They remain valid for `valid_for_seconds` more. Once for each cause",
        more="`valid_for_seconds`",
    ),
    replace(
        _CREDENTIALS,
        text="no valid AWS credentials are left; calls fail until they can be refreshed",
        source="text",
        meaning="Needs an operator: the API answers 503, the consumer keeps its messages",
    ),
    replace(
        _CREDENTIALS,
        text="AWS credentials are refreshed again",
        levels="INFO",
        fields=("failures",),
        meaning="The end of both",
    ),
    replace(
        _SDK,
        text="traces are not exported; spans are lost until the exporter's endpoint answers",
        meaning="Once an outage. E-mails are not affected",
    ),
    replace(_SDK, text="traces are exported again", levels="INFO", fields=("lost_spans",), meaning="The end of it"),
    Event(
        "pillarbox_otel.tracer",
        "a span was lost by an error of tracing; further ones are not logged",
        "WARNING",
        "A defect of tracing, once for each kind. E-mails are not affected",
        ("operation", "cause"),
    ),
)

_API = (
    Event("service1_api.wsgi", "started", "INFO", "A worker is about to serve", more="every setting but passwords"),
    Event(
        "service1_api.request_log",
        "request",
        "INFO; DEBUG for probes",
        "A request was answered. `items` and `queued` count the e-mails of a batch; `code` is that of the problem",
        more=f"`method`, `route`, `status`, `milliseconds`, `trace_id`; where known `message_id`, `code`, `items`, "
        f"`queued`; {CALLER}",
    ),
    Event(
        "service1_api.server.reports",
        "request refused",
        "INFO",
        "The HTTP server refused a request before the application saw it",
        ("status", "code", "trace_id"),
        more=CALLER,
    ),
    Event("service1_api.server.answers", "request failed in the server", "ERROR", "A defect in the HTTP server"),
    Event(
        "service1_api.error_handlers",
        "request failed unexpectedly",
        "ERROR",
        "A defect: the client got a 500. The traceback has no text of the exception",
        (*EMAIL, "exception"),
    ),
    replace(
        _AWS,
        text="queue did not confirm; will be retried",
        levels="INFO",
        fields=("cause",),
        meaning="A call to SQS failed, and there is time for another",
    ),
    replace(
        _AWS,
        text="queue did not confirm",
        fields=("cause", "messages"),
        meaning="A call to SQS failed finally: this many e-mails got a 503, or a 400 if SQS refused them",
    ),
    replace(
        _AWS,
        text="queue refused an entry",
        fields=(*EMAIL, "cause"),
        meaning="SQS did not take this e-mail of a call; it was answered with 503 or 400",
    ),
    Event(
        "service1_api.payloads",
        "payload was not stored",
        "WARNING",
        "A large e-mail was answered with 503: S3 did not take it",
        (*EMAIL, "cause", "bytes"),
    ),
    Event(
        "service1_api.aws",
        "payload was not stored; will be retried",
        "INFO",
        "An attempt to store a large e-mail failed; `code` is S3's",
        ("cause", "code"),
    ),
    Event(
        "service1_api.status",
        "status was not read",
        "WARNING",
        "S3 did not say what became of an e-mail; `trace_id` is that of the question",
        (*EMAIL, "cause"),
    ),
    Event("service1_api.tokens", "token loaded", "INFO", "At the start, or after failures", ("valid_tokens",)),
    Event(
        "service1_api.tokens",
        "token not read; will be retried",
        "WARNING",
        "SSM fails, or the parameter is unusable. Once for each reason; the last token serves for an hour",
        ("reason",),
    ),
    Event(
        "service1_api.rate_limit",
        "rate limit not counted",
        "WARNING",
        "The store of the rate limit fails: requests are allowed",
        ("again_in_seconds",),
    ),
)

EVENTS = (*_BOTH, *_API, *CONSUMER)
