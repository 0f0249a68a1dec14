"""Calls to SQS in the AWS JSON protocol, signed by botocore and sent by urllib3. Every failure is an SqsError.

A boto3 client uses two to three times the CPU for the same call, mostly for features that no call here needs.
"""

from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.session
import orjson
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.util import Timeout
from urllib3.util.ssl_ import create_urllib3_context

from pillarbox_aws.credentials import CredentialsError
from pillarbox_aws.session import ca_bundle, endpoint_url

MALFORMED_REPLY = "MalformedReply"
NOT_CONFIRMED = "not_confirmed"

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BATCH_ENTRIES = 10
_INDEXES = {str(index): index for index in range(MAX_BATCH_ENTRIES)}


class SqsError(Exception):
    """A call that may not have succeeded.

    `cause` is the error code of SQS if there is one, else `HTTP <status>`, `MalformedReply`, `credentials: <cause>` or
    the name of the transport's error.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class GivesCredentials(Protocol):
    """The source of the credentials that sign the calls."""

    def current(self) -> ReadOnlyCredentials:
        """Return credentials that are valid now. Raise CredentialsError."""
        ...


class CallsSqs(Protocol):
    """The client as the services use it, which tests replace."""

    def call(self, action: str, payload: Mapping[str, object], *, read_seconds: float) -> dict[str, Any]:
        """Return the reply of an action. Raise SqsError."""
        ...


class Http(Protocol):
    """The part of urllib3 that sends the calls: a connection pool, or a manager for a proxy."""

    def urlopen(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send one request. Raise urllib3's HTTPError."""
        ...


class SqsClient:
    """Calls actions of SQS, each sent once.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
    """

    def __init__(
        self,
        http: Http,
        url: str,
        target: str,
        credentials: GivesCredentials,
        *,
        region: str,
        user_agent: str,
        connect_seconds: float,
    ) -> None:
        self._http = http
        self._url = url
        self._target = target
        self._credentials = credentials
        self._region = region
        self._connect_seconds = connect_seconds
        self._headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "x-amzn-query-mode": "true",  # requests the older error names, which alarms and code use
            "User-Agent": user_agent,
        }

    def call(self, action: str, payload: Mapping[str, object], *, read_seconds: float) -> dict[str, Any]:
        """Return the reply of an action, a JSON object. Raise SqsError, and no other exception."""
        body = orjson.dumps(payload)
        request = AWSRequest(
            "POST", self._url, headers=self._headers | {"X-Amz-Target": f"AmazonSQS.{action}"}, data=body
        )
        try:
            SigV4Auth(self._credentials.current(), "sqs", self._region).add_auth(request)
            response = self._http.urlopen(
                "POST",
                self._target,
                body=body,
                headers=dict(request.headers.items()),
                timeout=Timeout(connect=self._connect_seconds, read=read_seconds),
                redirect=False,
                retries=False,
            )
        except CredentialsError as exc:
            raise SqsError(f"credentials: {exc.cause}") from exc
        except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as exc:
            raise SqsError(type(exc).__name__) from exc
        reply = _json(response.data)
        if response.status != 200:
            raise SqsError(_error_code(response.headers, reply) or f"HTTP {response.status}")
        if not isinstance(reply, dict):
            raise SqsError(MALFORMED_REPLY)
        return reply


def open_client(
    session: botocore.session.Session,
    credentials: GivesCredentials,
    queue_url: str,
    *,
    environ: Mapping[str, str],
    user_agent: str,
    connections: int,
    connect_seconds: float,
) -> SqsClient:
    """Return a client for the endpoint of the environment, else of the queue's URL, through the environment's proxy.

    It keeps up to `connections` connections open. Raise OSError if the CA bundle cannot be read.
    """
    url = (endpoint_url(session, "sqs", environ) or "{0.scheme}://{0.netloc}".format(urlsplit(queue_url))).rstrip("/")
    url += "/"
    options: dict[str, Any] = {"maxsize": connections, "block": False}
    if url.startswith("https:"):
        # One context for all connections: reading the bundle takes longer than a call.
        options["ssl_context"] = create_urllib3_context()
        options["ssl_context"].load_verify_locations(ca_bundle(session) or get_cert_path(True))
    proxies = ProxyConfiguration(get_environ_proxies(url))
    proxy = proxies.proxy_url_for(url)
    http: Http
    if proxy:
        http, target = urllib3.ProxyManager(proxy, proxy_headers=proxies.proxy_headers_for(proxy), **options), url
    else:
        http, target = urllib3.connection_from_url(url, **options), urlsplit(url).path
    return SqsClient(
        http,
        url,
        target,
        credentials,
        region=str(session.get_config_variable("region")),
        user_agent=user_agent,
        connect_seconds=connect_seconds,
    )


def batch_results(reply: Mapping[str, Any], count: int) -> list[str | None]:
    """Return the result of each entry of a batch call whose ids are "0", "1", …: None for done, else an error code.

    An entry missing in the reply is not confirmed. Raise SqsError if the reply differs from the API reference.
    """
    results: list[str | None] = [NOT_CONFIRMED] * count
    for entry in entries(reply, "Successful"):
        results[_index(entry, count)] = None
    for entry in entries(reply, "Failed"):
        code = entry.get("Code")
        if not isinstance(code, str):
            raise SqsError(MALFORMED_REPLY)
        results[_index(entry, count)] = code or MALFORMED_REPLY
    return results


def entries(reply: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of objects of a reply, empty if the reply has none. Raise SqsError for any other value."""
    found = reply.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise SqsError(MALFORMED_REPLY)
    return found


def _index(entry: Mapping[str, Any], count: int) -> int:
    entry_id = entry.get("Id")
    index = _INDEXES.get(entry_id, count) if isinstance(entry_id, str) else count
    if index >= count:
        raise SqsError(MALFORMED_REPLY)
    return index


def _json(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _error_code(headers: Mapping[str, str], reply: object) -> str:
    older = headers.get("x-amzn-query-error", "").partition(";")[0]
    kind = reply.get("__type") if isinstance(reply, dict) else None
    return older or (kind.rpartition("#")[2] if isinstance(kind, str) else "")
