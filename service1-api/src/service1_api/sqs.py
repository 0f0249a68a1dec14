"""SQS as the publisher's queue: SendMessageBatch, tried again while its deadline allows, and what its errors mean."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import orjson
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
)

from service1_api import SERVICE
from service1_api.publisher import Message, MessageRefusedError, PublishError, QueueUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef, SendMessageBatchResultTypeDef

# What SQS says of a message (or of a call, for its messages) that it will never take; it prefixes some of them.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html#API_SendMessageBatch_Errors
_REFUSALS = ("InvalidMessageContents", "BatchRequestTooLong", "InvalidParameterValue", "InvalidAttributeValue")

_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0

_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "AmazonSQS.SendMessageBatch",
    "x-amzn-query-mode": "true",  # asks for the older names of errors as well
    "User-Agent": f"pillarbox/{SERVICE}",
}

log = logging.getLogger(__name__)


class SendsBatches(Protocol):
    """What this module needs of an SQS client; boto3's own has it too."""

    def send_message_batch(
        self,
        *,
        QueueUrl: str,  # noqa: N803  # the API's name
        Entries: "Sequence[SendMessageBatchRequestEntryTypeDef]",  # noqa: N803  # the API's name
    ) -> "SendMessageBatchResultTypeDef":
        """Send up to ten messages. Raises ClientError and BotoCoreError."""
        ...


class SqsClient:
    """SendMessageBatch alone, as AWS JSON 1.0 over kept connections; raises what boto3 raises.

    boto3 takes three times the CPU for the same call, most of it for generality that one call has no use for.
    Credentials and signature are botocore's own (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html).
    """

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        credentials: Callable[[], Credentials | None],
        *,
        ca_certs: str,
        **timeouts: float,
    ) -> None:
        self._url = endpoint_url.rstrip("/") + "/"
        self._path = urlsplit(self._url).path
        self._region = region
        self._credentials = credentials
        tls = {"ca_certs": ca_certs} if self._url.startswith("https:") else {}
        self._connections = urllib3.connection_from_url(
            self._url, maxsize=8, retries=False, timeout=urllib3.Timeout(**timeouts), **tls
        )

    def send_message_batch(self, **parameters: Any) -> Any:
        """Send up to ten messages; the parameters and the reply are those of the API reference."""
        request = AWSRequest(method="POST", url=self._url, headers=_HEADERS, data=orjson.dumps(parameters))
        credentials = self._credentials()  # a session keeps what it has found, and looks again if it has found none
        if credentials is None:
            raise NoCredentialsError
        SigV4Auth(credentials.get_frozen_credentials(), "sqs", self._region).add_auth(request)
        response = self._exchange(request)
        try:
            reply = orjson.loads(response.data)
        except ValueError as exc:
            raise HTTPClientError(error=exc) from exc
        if response.status != 200:
            raise ClientError(_error_response(response, reply), "SendMessageBatch")
        return reply

    def _exchange(self, request: AWSRequest) -> urllib3.BaseHTTPResponse:
        try:
            return self._connections.urlopen(
                "POST", self._path, body=request.data, headers=dict(request.headers.items()), redirect=False
            )
        except urllib3.exceptions.ReadTimeoutError as exc:
            raise ReadTimeoutError(endpoint_url=self._url, error=exc) from exc
        except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError) as exc:
            raise EndpointConnectionError(endpoint_url=self._url, error=exc) from exc
        except urllib3.exceptions.ProtocolError as exc:
            raise ConnectionClosedError(endpoint_url=self._url, error=exc) from exc
        except urllib3.exceptions.HTTPError as exc:
            raise HTTPClientError(error=exc) from exc


def _error_response(response: urllib3.BaseHTTPResponse, reply: Any) -> Any:
    # The older name of an error, which alarms and code know, comes in a header of its own.
    code = response.headers.get("x-amzn-query-error", "").partition(";")[0]
    kind = str(reply.get("__type", "")) if isinstance(reply, dict) else ""
    return {
        "Error": {"Code": code or kind.rpartition("#")[2] or str(response.status)},
        "ResponseMetadata": {"HTTPStatusCode": response.status},
    }


class SqsQueue:
    """Sends messages to one SQS queue; an attempt that fails is made again while there is time for a whole one."""

    def __init__(
        self,
        client: SendsBatches,
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
