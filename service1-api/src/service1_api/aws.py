"""The AWS adapters: SQS takes the messages, SSM holds the token, S3 keeps payloads and the archive.

Their errors become those of the modules that call them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from botocore.exceptions import ClientError, NoCredentialsError

from pillarbox.backoff import Backoff
from pillarbox_aws.object_store import ObjectStoreError, create_object
from pillarbox_aws.sqs_client import CallsSqs, SqsError, batch_results
from service1_api.outgoing import Message, MessageRefusedError, PublishError, QueueUnavailableError, trace_id_of
from service1_api.payloads import StoreUnavailableError
from service1_api.status import ArchivedObject, ArchiveUnavailableError
from service1_api.tokens import TokenSourceError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient
    from obstore.store import S3Store

# The codes of a message (or a call, because of its messages) that SQS will never accept; some have a prefix.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors
_REFUSALS = ("InvalidMessageContents", "BatchRequestTooLong", "InvalidParameterValue", "InvalidAttributeValue")
_QUEUE_PAUSES = (0.2, 1.0)  # seconds: the first one and the longest

# Causes that may pass within seconds. Others, such as a missing right or bucket, are answered at once.
_PASSING_CAUSES = frozenset({"throttled", "server_error", "timeout", "connection", "contended"})
_STORE_PAUSES = (0.1, 1.0)
_COMPRESSED = ".gz"  # OBJECT_COMPRESSION of the consumer appends it
_DIGEST = "email-sha256"

_Client = TypeVar("_Client")
_Answer = TypeVar("_Answer")

log = logging.getLogger(__name__)


class SqsQueue:
    """Sends messages to one SQS queue; retries a failed attempt while there is time for a whole one."""

    def __init__(
        self,
        client: CallsSqs,
        queue_url: str,
        *,
        read_seconds: float,
        attempt_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._read_seconds = read_seconds
        self._attempt_seconds = attempt_seconds
        self._clock = clock
        self._sleep = sleep

    def send(self, messages: Sequence[Message], deadline: float) -> list[PublishError | None]:
        """Return each message's own result. Raise MessageRefusedError or QueueUnavailableError for the whole call.

        After a lost reply the queue may hold the messages twice; the consumer detects duplicates by their ids.
        """
        entries = [_entry(number, message) for number, message in enumerate(messages)]
        backoff: Backoff | None = None
        while True:
            try:
                return self._sent(entries, messages)
            except SqsError as exc:
                error = _meaning(exc.cause)
                backoff = backoff or Backoff(*_QUEUE_PAUSES)
                pause = backoff.next_seconds()
                again = self._clock() + pause + self._attempt_seconds <= deadline
                if isinstance(error, MessageRefusedError) or not again:
                    extra = {"cause": error.cause, "messages": len(entries)}
                    log.warning("queue did not confirm", extra=extra)
                    raise error from exc
                log.info("queue did not confirm; will be retried", extra={"cause": error.cause})
            self._sleep(pause)

    def _sent(self, entries: Sequence[Mapping[str, object]], messages: Sequence[Message]) -> list[PublishError | None]:
        payload = {"QueueUrl": self._queue_url, "Entries": entries}
        reply = self._client.call("SendMessageBatch", payload, read_seconds=self._read_seconds)
        codes = batch_results(reply, len(entries))
        for code, message in zip(codes, messages, strict=True):
            if code:
                email = {"message_id": message.attributes.get("message_id", ""), "trace_id": trace_id_of(message)}
                log.warning("queue refused an entry", extra={**email, "cause": code})
        return [_meaning(code) if code else None for code in codes]


class _LazyClient(Generic[_Client]):
    """A botocore client, created at its first call: that requires credentials, whose provider may fail at the start."""

    def __init__(self, new_client: Callable[[], _Client], error: type[Exception]) -> None:
        self._new_client = new_client
        self._error = error
        self._client: _Client | None = None
        self._creating = threading.Lock()

    def call(self, ask: Callable[[_Client], _Answer]) -> _Answer:
        """Return what the client answers. Raise the error with a short cause."""
        try:
            with self._creating:
                client = self._client = self._client or self._new_client()
            return ask(client)
        except ClientError as exc:
            raise self._error(exc.response.get("Error", {}).get("Code", "ClientError")) from exc
        except NoCredentialsError as exc:
            self._client = None  # a client never searches for credentials again
            raise self._error("NoCredentialsError") from exc
        except Exception as exc:  # a credential provider may raise anything, such as OSError and RuntimeError
            raise self._error(type(exc).__name__) from exc


class SsmTokenSource:
    """Reads a SecureString of SSM Parameter Store."""

    def __init__(self, new_client: Callable[[], SSMClient], parameter_name: str) -> None:
        self._ssm = _LazyClient(new_client, TokenSourceError)
        self._name = parameter_name

    def read(self) -> str:
        """Return the decrypted value of the parameter. Raise TokenSourceError."""
        found = self._ssm.call(lambda client: client.get_parameter(Name=self._name, WithDecryption=True))
        return found["Parameter"]["Value"]


class S3Payloads:
    """Stores payloads with no right but to put: a key contains the digest, so a key that is taken is a success."""

    def __init__(
        self,
        store: S3Store,
        *,
        attempt_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`attempt_seconds` is the time after which `store` gives up a request."""
        self._store = store
        self._attempt_seconds = attempt_seconds
        self._clock = clock
        self._sleep = sleep

    def put(self, key: str, body: bytes, deadline: float) -> bool:
        """Store a payload, retried while a whole attempt fits; return False if it is there already.

        Raise StoreUnavailableError.
        """
        backoff = Backoff(*_STORE_PAUSES)
        if self._clock() + self._attempt_seconds > deadline:
            raise StoreUnavailableError("store_deadline")
        while True:
            try:
                return create_object(self._store, key, body, {"Content-Type": "application/json"})
            except ObjectStoreError as exc:
                cause, code = exc.failure.cause, exc.failure.code
                pause = backoff.next_seconds()
                again = self._clock() + pause + self._attempt_seconds <= deadline
                if cause not in _PASSING_CAUSES or not again:
                    raise StoreUnavailableError(f"store_{cause}") from exc
                log.info("payload was not stored; will be retried", extra={"cause": cause, "code": code})
            self._sleep(pause)


class S3Archive:
    """Reads the archive with two rights: ListBucket on its prefixes, and GetObject.

    Without ListBucket on the whole bucket a HEAD of a missing key is a 403 and no 404, so a LIST finds the object:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """

    def __init__(self, new_client: Callable[[], S3Client], bucket: str) -> None:
        self._s3 = _LazyClient(new_client, ArchiveUnavailableError)
        self._bucket = bucket

    def find(self, key: str) -> ArchivedObject | None:
        """Return the object of a key, or else of the key with `.gz`; None if neither exists.

        Raise ArchiveUnavailableError.
        """
        return self._s3.call(lambda client: self._found(client, key))

    def has_below(self, prefix: str) -> bool:
        """Return whether any key begins with a prefix. Raise ArchiveUnavailableError."""
        return self._s3.call(
            lambda client: client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0) > 0
        )

    def _found(self, client: S3Client, key: str) -> ArchivedObject | None:
        listed = client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=2).get("Contents", [])
        taken = {entry["Key"] for entry in listed} & {key, key + _COMPRESSED}
        if not taken:
            return None
        found = client.head_object(Bucket=self._bucket, Key=min(taken, key=len))
        return ArchivedObject(found["LastModified"], found["ContentLength"], found["Metadata"].get(_DIGEST))


def _entry(number: int, message: Message) -> dict[str, object]:
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()}
    if message.numbers:
        for name, value in message.numbers.items():
            attributes[name] = {"DataType": "Number", "StringValue": value}
    return {"Id": str(number), "MessageBody": message.body, "MessageAttributes": attributes}


def _meaning(code: str) -> PublishError:
    return MessageRefusedError(code) if code.endswith(_REFUSALS) else QueueUnavailableError(code)
