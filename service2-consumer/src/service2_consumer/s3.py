"""The S3 adapter: each object is written once; obstore errors become StoreError."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from service2_consumer.layouts import NewObject
from service2_consumer.ports import Outcome, OverwritesError, RefusedObjectError, StoreError
from service2_consumer.record import digests_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential

PROBE_KEY = "health/service2-consumer"

_REQUESTS_PER_ATTEMPT = 4  # PUT; if the key is taken, GET; if by another e-mail, PUT below conflicts/, and HEAD
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_CAUSE_OF_STATUS = {"429": "throttled", "503": "throttled"}
_CAUSE_OF_KIND = {"Timeout": "timeout"}
_KIND = re.compile(r"kind: (\w+)")
_CREDENTIAL_CODES = frozenset(
    {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "RequestExpired", "TokenRefreshRequired"}
)
# No outage: these speak of one object alone.
_OWN_FAULTS = frozenset({"KeyTooLongError", "EntityTooLarge", "MetadataTooLarge"})


class S3Archive:
    """Writes objects into one bucket; one attempt takes at most the deadline that the store was opened with."""

    def __init__(self, store: S3Store, *, allow_overwrite: bool = False) -> None:
        self._store = store
        self._allow_overwrite = allow_overwrite

    def put(self, item: NewObject) -> Outcome:
        """Write an object unless it is there already. Raises StoreError and RefusedObjectError."""
        if self._created(item.key, item):
            return Outcome.STORED
        if item.conflict_key is None:
            self._require(item.key)
            return Outcome.DUPLICATE
        if self._holds(item.key, item):
            return Outcome.DUPLICATE
        if not self._created(item.conflict_key, item):
            self._require(item.conflict_key)  # its name holds the digest: whatever is there is this e-mail
        return Outcome.CONFLICT

    def probe(self) -> None:
        """Prove that the bucket takes writes. Raises StoreError."""
        self._put_probe("overwrite")

    def check(self) -> None:
        """Prove that the bucket takes writes and refuses a second write of one key, unless overwriting is allowed.

        Raises StoreError and OverwritesError. Replicas that start together do not disturb each other: S3 answers a
        create with 412 where the object exists, and with 409 while another write of it is under way.
        """
        self.probe()
        if self._allow_overwrite:
            return
        for _ in range(2):  # the first may succeed where somebody has just emptied the bucket
            try:
                self._put_probe("create")
            except StoreError as exc:
                if isinstance(exc.__cause__, AlreadyExistsError):
                    return
                raise
        raise OverwritesError(
            "the store ignores If-None-Match: an e-mail could overwrite another one; ALLOW_OVERWRITE=true accepts that"
        )

    def _put_probe(self, mode: Literal["create", "overwrite"]) -> None:
        body = datetime.now(UTC).isoformat().encode()
        try:
            obstore.put(self._store, PROBE_KEY, body, mode=mode, use_multipart=False)
        except (BaseError, OSError, ValueError) as exc:
            raise _explained(exc) from exc

    def _created(self, key: str, item: NewObject) -> bool:
        attributes = {"Content-Type": item.content_type, item.digest_name: item.digest}
        try:
            obstore.put(self._store, key, item.body, attributes=attributes, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError, ValueError) as exc:
            raise _explained(exc) from exc
        return True

    def _holds(self, key: str, item: NewObject) -> bool:
        """Tell whether the object at a taken key holds the same e-mail.

        The content decides where the metadata does not say so: some gateways lose metadata, some answers are garbled,
        and neither may pass for another e-mail. An answer that says neither is asked for again, later.
        """
        with _reading():
            found = obstore.get(self._store, key)
            digest = found.attributes.get(item.digest_name)
            if digest == item.digest:
                return True
            digests = digests_of(bytes(found.bytes()))
        if item.digest in digests.of_content:
            return True
        if digest is None and not digests.is_document:
            raise StoreError("unclear", "neither digest nor document")
        return False

    def _require(self, key: str) -> None:
        """Make sure that a taken key holds an object."""
        with _reading():
            obstore.head(self._store, key)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what a read raises into StoreError; nothing may be there yet: S3 answers 409 while another PUT runs."""
    try:
        yield
    except FileNotFoundError as exc:
        raise StoreError("contended", "ConditionalRequestConflict") from exc
    except (BaseError, OSError, ValueError) as exc:
        raise _explained(exc) from exc


def _explained(exc: Exception) -> Exception:
    text = str(exc)
    code = _CODE.search(text)
    name = code[1] if code else ""
    if name in _OWN_FAULTS:
        return RefusedObjectError(name)
    return StoreError(_cause(exc, text, name), name)


def _cause(exc: Exception, text: str, code: str) -> str:
    if isinstance(exc, UnauthenticatedError) or code in _CREDENTIAL_CODES:
        return "credentials"
    if isinstance(exc, PermissionDeniedError):
        return "access_denied"
    if isinstance(exc, FileNotFoundError):
        return "no_such_bucket"
    if status := _STATUS.search(text):
        return _CAUSE_OF_STATUS.get(status[1], "server_error" if status[1].startswith("5") else "other")
    kind = _KIND.search(text)
    return _CAUSE_OF_KIND.get(kind[1], "connection") if kind else "other"


def open_archive(
    credentials: Callable[[], S3Credential],
    bucket: str,
    *,
    region: str,
    endpoint_url: str | None,
    deadline_seconds: float,
    encryption: Mapping[str, str],
    ca_bundle: str | None = None,
    allow_overwrite: bool = False,
) -> S3Archive:
    """Open a bucket; `encryption` holds S3Config's sse keys. Raises OSError if the CA bundle cannot be read."""
    config: S3Config = {"region": region, **encryption}  # type: ignore[typeddict-item]
    if endpoint_url:
        config |= {"endpoint": endpoint_url, "aws_endpoint_url_s3": endpoint_url, "virtual_hosted_style_request": False}
    else:
        # A certificate of S3 covers one label before its name: a bucket with dots has to go into the path.
        config["virtual_hosted_style_request"] = "." not in bucket
    request_seconds = timedelta(seconds=deadline_seconds / _REQUESTS_PER_ATTEMPT)
    options: ClientConfig = {
        "allow_http": bool(endpoint_url and endpoint_url.startswith("http://")),
        "timeout": request_seconds,
        "connect_timeout": min(request_seconds, timedelta(seconds=3)),
        "pool_idle_timeout": timedelta(seconds=5),  # S3 closes idle connections soon after
        "user_agent": "pillarbox-consumer",
    }
    if ca_bundle:
        options["root_certificate"] = Path(ca_bundle).read_bytes()
    store = S3Store(
        bucket,
        config=config,
        client_options=options,
        retry_config={"max_retries": 0},  # the lane retries: it must extend visibility in between
        credential_provider=credentials,
    )
    return S3Archive(store, allow_overwrite=allow_overwrite)
