"""SQS message bodies into S3 objects: S3's own notifications, through SNS or not, and EventBridge. Pure: no I/O.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from dataclasses import dataclass
from urllib.parse import unquote_plus

from pillarbox import strict_json
from pillarbox.strict_json import JsonError, JsonValue

MAX_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_ENVELOPES = 2  # a topic may feed another service that publishes to a second one; more is no delivery of AWS

JsonObject = dict[str, JsonValue]


class EventError(ValueError):
    """A message that is no event of S3; the text never quotes it."""


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object that was written; the ETag has no quotes, and version `null` is the one of a suspended bucket.

    A null version can be overwritten, so the ETag must identify it as it does an object without a version.
    """

    bucket: str
    key: str
    version: str | None
    etag: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """An event to acknowledge without an object; `reason` is `test_event` or `other_event`."""

    reason: str


def parse_events(body: str) -> list[ObjectCreated | Skipped]:
    """Return the events in a message, one for each record, at least one.

    Keys of S3's notifications are URL-decoded once; EventBridge sends them as they are. Raise EventError for
    anything else, an SNS message that is no notification included.
    """
    for _ in range(MAX_ENVELOPES + 1):
        event = _object(_loads(body), "the message")
        if event.get("Type") != "Notification":
            return _events(event)
        body = _text(event, "Message", "the SNS notification")
    raise EventError(f"is in more than {MAX_ENVELOPES} SNS envelopes")


def _events(event: JsonObject) -> list[ObjectCreated | Skipped]:
    if "Records" in event:
        records = event["Records"]
        if not isinstance(records, list) or not records:
            raise EventError("Records must be a list that is not empty")
        return [_native(_object(record, f"Records[{i}]"), f"Records[{i}]") for i, record in enumerate(records)]
    if event.get("Event") == "s3:TestEvent":
        return [Skipped("test_event")]
    if event.get("source") == "aws.s3":
        return [_eventbridge(event)]
    raise EventError("is no event of S3: it has neither Records nor the source aws.s3")


def _native(record: JsonObject, where: str) -> ObjectCreated | Skipped:
    if record.get("eventSource") != "aws:s3":
        raise EventError(f"{where}.eventSource must be aws:s3")
    if not _text(record, "eventVersion", where).startswith("2."):  # a new major version may change what fields mean
        raise EventError(f"{where}.eventVersion must be 2.x")
    if not _text(record, "eventName", where).removeprefix("s3:").startswith("ObjectCreated:"):
        return Skipped("other_event")
    s3 = _object(record.get("s3"), f"{where}.s3")
    stored = _object(s3.get("object"), f"{where}.s3.object")
    try:
        key = unquote_plus(_text(stored, "key", f"{where}.s3.object"), errors="strict")
    except UnicodeDecodeError:
        raise EventError(f"{where}.s3.object.key is not URL-encoded UTF-8") from None
    bucket = _object(s3.get("bucket"), f"{where}.s3.bucket")
    return _created(bucket, key, stored, version_name="versionId", etag_name="eTag", where=where)


def _eventbridge(event: JsonObject) -> ObjectCreated | Skipped:
    if _text(event, "detail-type", "the event") != "Object Created":
        return Skipped("other_event")
    detail = _object(event.get("detail"), "detail")
    stored = _object(detail.get("object"), "detail.object")
    key = _text(stored, "key", "detail.object")
    bucket = _object(detail.get("bucket"), "detail.bucket")
    return _created(bucket, key, stored, version_name="version-id", etag_name="etag", where="detail")


def _created(
    bucket: JsonObject, key: str, stored: JsonObject, *, version_name: str, etag_name: str, where: str
) -> ObjectCreated:
    if len(key.encode()) > MAX_KEY_BYTES:
        raise EventError(f"the key in {where} is longer than {MAX_KEY_BYTES} bytes")
    size = stored.get("size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise EventError(f"the size in {where} must be a number of bytes")
    return ObjectCreated(
        bucket=_text(bucket, "name", f"{where}.bucket"),
        key=key,
        version=_optional(stored, version_name, where),
        etag=(_optional(stored, etag_name, where) or "").removeprefix("W/").strip('"') or None,
        size_bytes=size,
    )


def _loads(body: str) -> JsonValue:
    try:
        return strict_json.loads(body.encode())
    except UnicodeEncodeError:
        raise EventError("has an unpaired surrogate") from None
    except JsonError as exc:
        raise EventError(str(exc)) from None


def _object(value: JsonValue, where: str) -> JsonObject:
    if not isinstance(value, dict):
        raise EventError(f"{where} must be a JSON object")
    return value


def _text(fields: JsonObject, name: str, where: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise EventError(f"{name} of {where} must be a string that is not empty")
    return value


def _optional(fields: JsonObject, name: str, where: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise EventError(f"{name} of the object in {where} must be a string")
    return value or None
