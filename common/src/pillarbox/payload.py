"""The claim check: a large e-mail lies in S3, and its SQS message is a pointer to it. Pure: no I/O.

The form is that of Amazon's SQS Extended Client Library for Java, version 2:
https://github.com/awslabs/amazon-sqs-java-extended-client-lib
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pillarbox import strict_json
from pillarbox.ids import time_of
from pillarbox.strict_json import JsonError

SIZE_ATTRIBUTE = "ExtendedPayloadSize"  # the size of the payload in bytes, of type Number
SIZE_ATTRIBUTES = (SIZE_ATTRIBUTE, "SQSLargePayloadSize")  # the second is that of version 1
_POINTER_CLASS = "software.amazon.payloadoffloading.PayloadS3Pointer"
_POINTER_CLASSES = (_POINTER_CLASS, "com.amazon.sqs.javamessaging.MessageS3Pointer")
_MAX_SIZE_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a payload lies, and its size in bytes."""

    bucket: str
    key: str
    size_bytes: int

    def body(self) -> str:
        """Return the body of the SQS message."""
        return json.dumps([_POINTER_CLASS, {"s3BucketName": self.bucket, "s3Key": self.key}], separators=(",", ":"))


def payload_key(prefix: str, message_id: str, sha256: str) -> str:
    """Return the key of a payload: equal content has an equal key, other content under the same id has its own."""
    return f"{prefix}{time_of(message_id):%Y/%m/%d}/{message_id}/{sha256}.json"


def pointer_in(body: str, attributes: Mapping[str, str]) -> Pointer | None:
    """Return the pointer in an SQS message; None if no attribute says that the message is one.

    Raise ValueError if the attribute is there and the message is no pointer; the text never quotes it.
    """
    size = next((attributes[name] for name in SIZE_ATTRIBUTES if name in attributes), None)
    if size is None:
        return None
    if not (size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS):
        raise ValueError("the attribute with the payload's size must be a number of bytes")
    try:
        document = strict_json.loads(body.encode(errors="surrogatepass"))
    except JsonError:
        document = None
    match document:
        case [str(name), {"s3BucketName": str(bucket), "s3Key": str(key)}] if name in _POINTER_CLASSES:
            return Pointer(bucket, key, int(size))
    raise ValueError("the attribute with the payload's size is set, but the body is no S3 pointer")
