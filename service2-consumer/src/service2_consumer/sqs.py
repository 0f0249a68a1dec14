"""The SQS adapter: receive, delete, change visibility, depth; whatever goes wrong becomes QueueError.

It speaks the AWS JSON protocol itself, signed by botocore and sent by urllib3: a call through a boto3 client costs two
to three times the CPU, and these calls are most of what a message costs.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
import orjson
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.util import Timeout

from service2_consumer.backoff import Backoff
from service2_consumer.ports import CredentialsError, QueueError
from service2_consumer.record import Message
from service2_consumer.settings import SQS_CALL_SECONDS

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BATCH_ENTRIES = 10

_ATTRIBUTES = ["message_id", "received_at", "source", "traceparent"]
_SYSTEM_ATTRIBUTES = ["SentTimestamp", "ApproximateReceiveCount"]
_DEPTHS = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
_CONNECT_SECONDS = 2.0
_QUICK = Timeout(connect=_CONNECT_SECONDS, read=SQS_CALL_SECONDS / 4)
_QUICK_ATTEMPTS = 3  # with their pauses they stay within SQS_CALL_SECONDS unless each of them hangs
_PERMANENT = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "QueueDoesNotExist", "NonExistentQueue"})


class SignedCalls:
    """Calls actions of SQS (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html)."""

    def __init__(self, http: urllib3.PoolManager, endpoint_url: str, signature: Callable[[AWSRequest], None]) -> None:
        self._http = http
        self._url = endpoint_url
        self._sign = signature

    def call(self, action: str, payload: Mapping[str, object], timeout: Timeout) -> dict[str, Any]:
        """Give the answer to one request, sent once. Raises QueueError."""
        body = orjson.dumps(payload)
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{action}",
            "User-Agent": "pillarbox-consumer",
        }
        request = AWSRequest("POST", self._url, headers=headers, data=body)
        try:
            self._sign(request)
            answer = self._http.request(
                "POST", self._url, body=body, headers=dict(request.headers.items()), timeout=timeout, retries=False
            )
            parsed = orjson.loads(answer.data) if answer.data else {}
        except (urllib3.exceptions.HTTPError, orjson.JSONDecodeError, BotoCoreError, RuntimeError) as exc:
            raise QueueError(type(exc).__name__) from exc  # RuntimeError: botocore could not refresh credentials
        if answer.status != 200:
            raise QueueError(_error_code(parsed) or f"HTTP {answer.status}")
        return dict(parsed)

    def call_again(self, action: str, payload: Mapping[str, object]) -> dict[str, Any]:
        """Give the answer to a request that may be sent a few times. Raises QueueError."""
        backoff = Backoff(0.1, 1)
        for _ in range(_QUICK_ATTEMPTS - 1):
            try:
                return self.call(action, payload, _QUICK)
            except QueueError as exc:
                if exc.cause in _PERMANENT:
                    raise
                time.sleep(backoff.next_seconds())
        return self.call(action, payload, _QUICK)


class SqsQueue:
    """One queue."""

    def __init__(self, calls: SignedCalls, url: str, *, batch: int, visibility_seconds: int) -> None:
        self._calls = calls
        self._url = url
        self._receive = {
            "QueueUrl": url,
            "MaxNumberOfMessages": batch,
            "VisibilityTimeout": visibility_seconds,
            "MessageAttributeNames": _ATTRIBUTES,
            "MessageSystemAttributeNames": _SYSTEM_ATTRIBUTES,
        }

    def receive(self, wait_seconds: int) -> list[Message]:
        """Give up to a batch of messages, waiting up to `wait_seconds` for the first. Raises QueueError.

        It is asked once: a lost answer has hidden its messages, and the lane has a back-off of its own.
        """
        payload = self._receive | {"WaitTimeSeconds": wait_seconds}
        answer = self._calls.call("ReceiveMessage", payload, Timeout(connect=_CONNECT_SECONDS, read=wait_seconds + 5))
        return [_message(entry) for entry in answer.get("Messages") or []]

    def delete(self, receipts: Sequence[str]) -> list[str]:
        """Acknowledge messages; give the receipts that SQS did not delete, with no exception for them."""
        return self._in_batches("DeleteMessageBatch", receipts, {})

    def change_visibility(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Hide messages for `seconds` from now (0: show them again); give the receipts for which SQS did not."""
        return self._in_batches("ChangeMessageVisibilityBatch", receipts, {"VisibilityTimeout": seconds})

    def depth(self) -> dict[str, int]:
        """Give how many messages are visible, in flight and delayed, as SQS estimates them. Raises QueueError."""
        payload = {"QueueUrl": self._url, "AttributeNames": list(_DEPTHS.values())}
        attributes = self._calls.call_again("GetQueueAttributes", payload)["Attributes"]
        return {state: int(attributes[name]) for state, name in _DEPTHS.items()}

    def _in_batches(self, action: str, receipts: Sequence[str], fields: Mapping[str, object]) -> list[str]:
        failed: list[str] = []
        for some in _chunks(receipts):
            entries = [{"Id": str(i), "ReceiptHandle": receipt, **fields} for i, receipt in enumerate(some)]
            try:
                answer = self._calls.call_again(action, {"QueueUrl": self._url, "Entries": entries})
                failed += [some[int(entry["Id"])] for entry in answer.get("Failed") or []]
            except QueueError:
                failed += some
        return failed


def open_queue(
    session: boto3.Session,
    url: str,
    *,
    lanes: int,
    batch: int,
    visibility_seconds: int,
    endpoint_url: str | None = None,
    ca_bundle: str | None = None,
) -> SqsQueue:
    """Open a queue, by default where its URL points, with room for `lanes` calls at once. Raises CredentialsError."""
    endpoint_url = endpoint_url or "{0.scheme}://{0.netloc}/".format(urlsplit(url))
    credentials = session.get_credentials()
    if credentials is None:
        raise CredentialsError("AWS credentials: none found")

    def sign(request: AWSRequest) -> None:
        SigV4Auth(credentials.get_frozen_credentials(), "sqs", session.region_name).add_auth(request)

    proxy = get_environ_proxies(endpoint_url).get(endpoint_url.partition(":")[0])
    options: dict[str, Any] = {"maxsize": lanes + 1, "block": False, "ca_certs": ca_bundle or get_cert_path(True)}
    http = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    return SqsQueue(SignedCalls(http, endpoint_url, sign), url, batch=batch, visibility_seconds=visibility_seconds)


def _error_code(parsed: object) -> str:
    return str(parsed.get("__type", "")).rpartition("#")[2] if isinstance(parsed, dict) else ""


def _message(entry: Mapping[str, Any]) -> Message:
    system = entry["Attributes"]
    attributes = entry.get("MessageAttributes") or {}
    return Message(
        sqs_message_id=entry["MessageId"],
        receipt=entry["ReceiptHandle"],
        body=entry["Body"],
        attributes={name: value["StringValue"] for name, value in attributes.items() if "StringValue" in value},
        sent_at=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
        receive_count=int(system["ApproximateReceiveCount"]),
    )


def _chunks(receipts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(receipts), MAX_BATCH_ENTRIES):
        yield list(receipts[start : start + MAX_BATCH_ENTRIES])
