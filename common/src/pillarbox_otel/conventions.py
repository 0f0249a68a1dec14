"""The names and attributes of spans: one place, because the conventions for messaging are still in development.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ and .../messaging/sqs/,
https://opentelemetry.io/docs/specs/semconv/http/http-spans/, https://opentelemetry.io/docs/specs/semconv/object-stores/s3/
"""

from enum import Enum

SCOPE = "pillarbox"

SYSTEM = "messaging.system"
SYSTEM_SQS = "aws_sqs"
DESTINATION = "messaging.destination.name"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
MESSAGE_ID = "messaging.message.id"
BATCH_MESSAGE_COUNT = "messaging.batch.message_count"
ERROR_TYPE = "error.type"
METHOD = "http.request.method"
ROUTE = "http.route"
STATUS = "http.response.status_code"
BUCKET = "aws.s3.bucket"

# Our own: the load balancer's id of a request, as in the log; why a span is exported though its trace is not sampled.
AMZN_TRACE_ID = "pillarbox.amzn_trace_id"
KEPT = "pillarbox.kept"

# A write that takes this long is exported even if its trace is not sampled.
SLOW_PUT_SECONDS = 1.0


class Kind(Enum):
    """The kinds of spans in use, by their names in OpenTelemetry."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Operation(Enum):
    """The operations on the queue. The second value is the type that the conventions give to such an operation."""

    CREATE = ("create", "create", Kind.PRODUCER)
    SEND = ("send", "send", Kind.CLIENT)
    RECEIVE = ("receive", "receive", Kind.CLIENT)
    PROCESS = ("process", "process", Kind.CONSUMER)

    @property
    def kind(self) -> Kind:
        """Return the kind of the operation's spans."""
        return self.value[2]

    def span_name(self, queue: str) -> str:
        """Return the name of a span: the operation and the queue."""
        return f"{self.value[0]} {queue}"

    def attributes(self, queue: str) -> dict[str, str | int]:
        """Return what all spans of the operation have in common."""
        return {
            SYSTEM: SYSTEM_SQS,
            DESTINATION: queue,
            OPERATION_NAME: self.value[0],
            OPERATION_TYPE: self.value[1],
        }


def request_name(method: str, route: str) -> str:
    """Return the name of the span of an HTTP request."""
    return f"{method} {route}"


def put_name(bucket: str) -> str:
    """Return the name of the span of a write to S3."""
    return f"put {bucket}"
