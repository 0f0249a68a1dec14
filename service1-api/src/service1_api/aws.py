"""The AWS adapters for SQS, the publisher's queue, and SSM, which holds the token. Errors become the house's own."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, NoCredentialsError

from pillarbox.backoff import Backoff
from pillarbox_aws.sqs_client import CallsSqs, SqsError, batch_results
from service1_api.publisher import Message, MessageRefusedError, PublishError, QueueUnavailableError, trace_id_of
from service1_api.tokens import TokenSourceError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

# The codes of a message (or a call, because of its messages) that SQS will never accept; some have a prefix.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors
_REFUSALS = ("InvalidMessageContents", "BatchRequestTooLong", "InvalidParameterValue", "InvalidAttributeValue")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 1.0

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
                backoff = backoff or Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
                pause = backoff.next_seconds()
                again = self._clock() + pause + self._attempt_seconds <= deadline
                if isinstance(error, MessageRefusedError) or not again:
                    log.warning("queue did not confirm", extra={"cause": error.cause, "messages": len(entries)})
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


class SsmTokenSource:
    """Reads a SecureString of SSM Parameter Store."""

    def __init__(self, new_client: Callable[[], "SSMClient"], parameter_name: str) -> None:
        # Created at the first read: creating it requires credentials, whose provider may fail at the start.
        self._new_client = new_client
        self._client: SSMClient | None = None
        self._name = parameter_name

    def read(self) -> str:
        """Return the decrypted value of the parameter. Raise TokenSourceError."""
        try:
            self._client = self._client or self._new_client()
            return self._client.get_parameter(Name=self._name, WithDecryption=True)["Parameter"]["Value"]
        except ClientError as exc:
            raise TokenSourceError(exc.response.get("Error", {}).get("Code", "ClientError")) from exc
        except NoCredentialsError as exc:
            self._client = None  # a client never searches for credentials again
            raise TokenSourceError("NoCredentialsError") from exc
        except Exception as exc:  # a credential provider may raise anything, such as OSError and RuntimeError
            raise TokenSourceError(type(exc).__name__) from exc


def _entry(number: int, message: Message) -> dict[str, object]:
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()}
    if message.numbers:
        for name, value in message.numbers.items():
            attributes[name] = {"DataType": "Number", "StringValue": value}
    return {"Id": str(number), "MessageBody": message.body, "MessageAttributes": attributes}


def _meaning(code: str) -> PublishError:
    return MessageRefusedError(code) if code.endswith(_REFUSALS) else QueueUnavailableError(code)
