"""The S3 adapters: payloads are put into a bucket, the archive is read from another. Errors become the house's own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError, NoCredentialsError

from pillarbox.backoff import Backoff
from pillarbox_aws.object_store import ObjectStoreError, create_object
from service1_api.payloads import StoreUnavailableError
from service1_api.status import ArchivedObject, ArchiveUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore.store import S3Store

# Causes that may pass within seconds. Others, such as a missing right or bucket, are answered at once.
_PASSING_CAUSES = frozenset({"throttled", "server_error", "timeout", "connection", "contended"})
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_COMPRESSED = ".gz"  # OBJECT_COMPRESSION of the consumer appends it
_DIGEST = "email-sha256"

_Answer = TypeVar("_Answer")

log = logging.getLogger(__name__)


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
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
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
        # Created at the first look: creating it requires credentials, whose provider may fail at the start.
        self._new_client = new_client
        self._client: S3Client | None = None
        self._creating = threading.Lock()
        self._bucket = bucket

    def find(self, key: str) -> ArchivedObject | None:
        """Return the object of a key, or else of the key with `.gz`; None if neither exists.

        Raise ArchiveUnavailableError.
        """
        return self._call(lambda client: self._found(client, key))

    def has_below(self, prefix: str) -> bool:
        """Return whether any key begins with a prefix. Raise ArchiveUnavailableError."""
        return self._call(
            lambda client: client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0) > 0
        )

    def _found(self, client: S3Client, key: str) -> ArchivedObject | None:
        listed = client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=2).get("Contents", [])
        taken = {entry["Key"] for entry in listed} & {key, key + _COMPRESSED}
        if not taken:
            return None
        found = client.head_object(Bucket=self._bucket, Key=min(taken, key=len))
        return ArchivedObject(found["LastModified"], found["ContentLength"], found["Metadata"].get(_DIGEST))

    def _call(self, ask: Callable[[S3Client], _Answer]) -> _Answer:
        try:
            with self._creating:
                client = self._client = self._client or self._new_client()
            return ask(client)
        except ClientError as exc:
            raise ArchiveUnavailableError(exc.response.get("Error", {}).get("Code", "ClientError")) from exc
        except NoCredentialsError as exc:
            self._client = None  # a client never searches for credentials again
            raise ArchiveUnavailableError("NoCredentialsError") from exc
        except Exception as exc:  # a credential provider may raise anything, such as OSError and RuntimeError
            raise ArchiveUnavailableError(type(exc).__name__) from exc
