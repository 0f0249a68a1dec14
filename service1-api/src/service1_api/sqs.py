"""SQS as the publisher's queue: SendMessageBatch, tried again while its deadline allows, and what its errors mean."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from service1_api.publisher import Message, MessageRefusedError, PublishError, QueueUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef, SendMessageBatchResultTypeDef

# What SQS says of a message (or of a call, for its messages) that it will never take; it prefixes some of them.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors
_REFUSALS = ("InvalidMessageContents", "BatchRequestTooLong", "InvalidParameterValue", "InvalidAttributeValue")

_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0

log = logging.getLogger(__name__)


class SqsQueue:
    """Sends messages to one SQS queue; an attempt that fails is made again while there is time for a whole one."""

    def __init__(
        self,
        client: "SQSClient",
        queue_url: str,
        *,
        attempt_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._attempt_seconds = attempt_seconds
        self._clock = clock
        self._sleep = sleep

    def send(self, messages: Sequence[Message], deadline: float) -> list[PublishError | None]:
        """Give each message's own result. Raises MessageRefusedError and QueueUnavailableError for the call as a whole.

        A reply that was lost may leave the messages in the queue twice; their ids make that harmless.
        """
        entries = [_entry(number, message) for number, message in enumerate(messages)]
        pause = _PAUSE_SECONDS
        while True:
            try:
                reply = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
                return _results(reply, len(entries))
            except (ClientError, BotoCoreError) as exc:
                error = _meaning(exc)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1)  # noqa: S311  # jitter
                again = self._clock() + pause + self._attempt_seconds <= deadline
                if isinstance(error, MessageRefusedError) or not again:
                    log.warning("queue did not confirm", extra={"cause": error.cause, "messages": len(entries)})
                    raise error from exc
                log.info("queue did not confirm; will be sent again", extra={"cause": error.cause})
            self._sleep(pause)


def _entry(number: int, message: Message) -> "SendMessageBatchRequestEntryTypeDef":
    return {
        "Id": str(number),
        "MessageBody": message.body,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        },
    }


def _results(reply: "SendMessageBatchResultTypeDef", count: int) -> list[PublishError | None]:
    # An entry that the reply does not name has not been confirmed.
    results: list[PublishError | None] = [QueueUnavailableError("not_confirmed")] * count
    for confirmed in reply.get("Successful", ()):
        results[int(confirmed["Id"])] = None
    for failed in reply.get("Failed", ()):
        log.warning("queue refused an entry", extra={"cause": failed["Code"]})
        results[int(failed["Id"])] = _by_code(failed["Code"])
    return results


def _meaning(exc: ClientError | BotoCoreError) -> PublishError:
    if isinstance(exc, ClientError):
        details: Mapping[str, str] = exc.response.get("Error", {})  # type: ignore[assignment]
        return _by_code(details.get("Code", "ClientError"))
    return QueueUnavailableError(type(exc).__name__)


def _by_code(code: str) -> PublishError:
    return MessageRefusedError(code) if code.endswith(_REFUSALS) else QueueUnavailableError(code)
