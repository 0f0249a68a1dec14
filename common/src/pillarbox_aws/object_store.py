"""S3 buckets opened with a session's credentials, writes that never overwrite, and a short cause for each error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential

_CONNECT_TIMEOUT = timedelta(seconds=3)
_IDLE_TIMEOUT = timedelta(seconds=5)  # S3 closes idle connections soon after

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_KIND = re.compile(r"kind: (\w+)")
_CAUSE_OF_STATUS = {"429": "throttled", "503": "throttled"}
_CAUSE_OF_KIND = {"Timeout": "timeout"}
_CREDENTIAL_CODES = frozenset(
    {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "RequestExpired", "TokenRefreshRequired"}
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed: `cause` is one of a few words, such as `timeout`; `code` is S3's error code or empty."""

    cause: str
    code: str


class ObjectStoreError(Exception):
    """A request that failed; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


def create_object(store: S3Store, key: str, body: bytes, attributes: Mapping[str, str]) -> bool:
    """Write an object unless its key is taken; return False if it is. Raise ObjectStoreError.

    S3 answers 412 if the key is taken, and 409 while another write of the key is under way: the cause is then
    `contended`, and the write may be sent again. obstore raises the same error for both.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    try:
        obstore.put(store, key, body, attributes=dict(attributes), mode="create", use_multipart=False)
    except AlreadyExistsError as exc:
        status = _STATUS.search(str(exc))
        if status and status[1] == "409":
            raise ObjectStoreError(Failure("contended", failure_of(exc).code)) from exc
        return False
    except (BaseError, OSError, ValueError) as exc:
        raise ObjectStoreError(failure_of(exc)) from exc
    return True


def failure_of(error: Exception) -> Failure:
    """Return the cause and the code of an error that obstore raised."""
    text = str(error)
    found = _CODE.search(text)
    code = found[1] if found else ""
    return Failure(_cause(error, text, code), code)


def _cause(error: Exception, text: str, code: str) -> str:
    if isinstance(error, UnauthenticatedError) or code in _CREDENTIAL_CODES:
        return "credentials"
    if isinstance(error, PermissionDeniedError):
        return "access_denied"
    if isinstance(error, FileNotFoundError):
        return "no_such_bucket"
    if status := _STATUS.search(text):
        return _CAUSE_OF_STATUS.get(status[1], "server_error" if status[1].startswith("5") else "other")
    kind = _KIND.search(text)
    return _CAUSE_OF_KIND.get(kind[1], "connection") if kind else "other"


def open_store(
    credentials: Callable[[], S3Credential],
    bucket: str,
    *,
    region: str,
    endpoint_url: str | None,
    request_seconds: float,
    user_agent: str,
    encryption: Mapping[str, str],
    ca_bundle: str | None = None,
) -> S3Store:
    """Return a store that sends each request once and waits up to `request_seconds` for its answer.

    `encryption` holds the sse keys of obstore's S3Config. Raise OSError if the CA bundle cannot be read.
    """
    config: S3Config = {"region": region, **encryption}  # type: ignore[typeddict-item]
    if endpoint_url:
        config |= {"endpoint": endpoint_url, "aws_endpoint_url_s3": endpoint_url, "virtual_hosted_style_request": False}
    else:
        # A certificate of S3 covers one label before its name, so the name of a bucket with dots goes into the path.
        config["virtual_hosted_style_request"] = "." not in bucket
    timeout = timedelta(seconds=request_seconds)
    options: ClientConfig = {
        "allow_http": bool(endpoint_url and endpoint_url.startswith("http://")),
        "timeout": timeout,
        "connect_timeout": min(timeout, _CONNECT_TIMEOUT),
        "pool_idle_timeout": _IDLE_TIMEOUT,
        "user_agent": user_agent,
    }
    if ca_bundle:
        options["root_certificate"] = Path(ca_bundle).read_bytes()
    return S3Store(
        bucket,
        config=config,
        client_options=options,
        retry_config={"max_retries": 0},  # callers retry: they have deadlines of their own
        credential_provider=credentials,
    )
