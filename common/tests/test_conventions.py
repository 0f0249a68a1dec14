"""The pinned names are those of the conventions that the locked version of OpenTelemetry carries."""

from opentelemetry.semconv._incubating.attributes import aws_attributes, messaging_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes
from opentelemetry.trace import SpanKind

from pillarbox_otel import conventions
from pillarbox_otel.conventions import Kind, Operation


def test_the_names_of_attributes_are_those_of_the_semantic_conventions() -> None:
    names = {
        conventions.SYSTEM: messaging_attributes.MESSAGING_SYSTEM,
        conventions.DESTINATION: messaging_attributes.MESSAGING_DESTINATION_NAME,
        conventions.OPERATION_NAME: messaging_attributes.MESSAGING_OPERATION_NAME,
        conventions.OPERATION_TYPE: messaging_attributes.MESSAGING_OPERATION_TYPE,
        conventions.MESSAGE_ID: messaging_attributes.MESSAGING_MESSAGE_ID,
        conventions.BATCH_MESSAGE_COUNT: messaging_attributes.MESSAGING_BATCH_MESSAGE_COUNT,
        conventions.ERROR_TYPE: error_attributes.ERROR_TYPE,
        conventions.METHOD: http_attributes.HTTP_REQUEST_METHOD,
        conventions.ROUTE: http_attributes.HTTP_ROUTE,
        conventions.STATUS: http_attributes.HTTP_RESPONSE_STATUS_CODE,
        conventions.BUCKET: aws_attributes.AWS_S3_BUCKET,
    }
    assert list(names) == list(names.values())


def test_system_and_operation_types_are_known_values() -> None:
    assert messaging_attributes.MessagingSystemValues.AWS_SQS.value == conventions.SYSTEM_SQS
    known = {value.value for value in messaging_attributes.MessagingOperationTypeValues}
    assert {operation.value[1] for operation in Operation} <= known


def test_kinds_are_those_of_opentelemetry() -> None:
    assert {kind.value for kind in Kind} <= {kind.name for kind in SpanKind}
    assert [operation.kind.value for operation in Operation] == ["PRODUCER", "CLIENT", "CLIENT", "CONSUMER"]


def test_a_span_is_named_by_its_operation_and_its_place() -> None:
    assert Operation.PROCESS.span_name("emails") == "process emails"
    assert conventions.put_name("archive") == "put archive"
    assert conventions.request_name("POST", "/api/message") == "POST /api/message"
