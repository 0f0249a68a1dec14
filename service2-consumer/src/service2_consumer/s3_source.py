"""Reads objects from one bucket of S3. Errors of obstore and botocore become those of `ports`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError, PreconditionError

from pillarbox_aws.object_store import failure_of
from service2_consumer.model import StoredObject
from service2_consumer.ports import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, StoreError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import S3Store

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; 405 is the answer for a delete marker.
_MISSING_CODES = frozenset({"NoSuchKey", "NoSuchVersion", "MethodNotAllowed"})
_CAUSES = {"SlowDown": "throttled", "AccessDenied": "access_denied", "NoSuchBucket": "no_such_bucket"}


class S3Source:
    """One bucket. `probe_key` names no object: S3 answers 404 if the bucket can be read.

    obstore reads, because it needs a tenth of botocore's CPU. It cannot name all objects that S3 can hold: it strips a
    slash at the begin or the end of a key, and refuses empty and dot segments. `new_client` returns a botocore client
    for those.
    """

    def __init__(self, store: S3Store, bucket: str, new_client: Callable[[], Any], *, probe_key: str) -> None:
        self._store = store
        self._bucket = bucket
        self._new_client = new_client
        self._client: Any = None
        self._probe_key = probe_key

    def read(self, key: str, *, version: str | None, etag: str | None, max_bytes: int) -> StoredObject:
        """Return an object: this version, else the one with this eTag, else the newest.

        Raise StoreError, ObjectMissingError, ObjectChangedError and ObjectTooLargeError.
        """
        if _obstore_can_name(key):
            return self._read(key, version, etag, max_bytes)
        return self._read_by_botocore(key, version, etag, max_bytes)

    def probe(self) -> None:
        """Verify that the bucket can be read. Raise StoreError."""
        try:
            obstore.get(self._store, self._probe_key)
        except FileNotFoundError as exc:
            if failure_of(exc).code not in _MISSING_CODES:
                raise _store_error(exc) from exc
        except (BaseError, OSError, ValueError) as exc:
            raise _store_error(exc) from exc

    def _read(self, key: str, version: str | None, etag: str | None, max_bytes: int) -> StoredObject:
        options: GetOptions = {}
        if version:
            options["version"] = version
        elif etag:
            options["if_match"] = f'"{etag}"'
        try:
            found = obstore.get(self._store, key, options=options)
            if found.meta["size"] > max_bytes:
                raise ObjectTooLargeError
            metadata = {str(name).lower(): str(value) for name, value in found.attributes.items()}
            return StoredObject(
                bytes(found.bytes()), found.meta["last_modified"], (found.meta["e_tag"] or "").strip('"'), metadata
            )
        except PreconditionError as exc:
            raise ObjectChangedError from exc
        except (BaseError, OSError, ValueError) as exc:
            if failure_of(exc).code in _MISSING_CODES:
                raise ObjectMissingError from exc
            raise _store_error(exc) from exc

    def _read_by_botocore(self, key: str, version: str | None, etag: str | None, max_bytes: int) -> StoredObject:
        pinned = {"VersionId": version} if version else {"IfMatch": f'"{etag}"'} if etag else {}
        try:
            self._client = self._client or self._new_client()
            found = self._client.get_object(Bucket=self._bucket, Key=key, **pinned)
            with found["Body"] as body:
                if found["ContentLength"] > max_bytes:
                    raise ObjectTooLargeError
                metadata = {name.lower(): value for name, value in found["Metadata"].items()}
                return StoredObject(
                    body.read(), found["LastModified"].astimezone(UTC), found["ETag"].strip('"'), metadata
                )
        except ClientError as exc:
            code = exc.response.get("Error", {}).get("Code", "")
            if code in _MISSING_CODES:
                raise ObjectMissingError from exc
            if code == "PreconditionFailed":
                raise ObjectChangedError from exc
            status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise StoreError(_CAUSES.get(code, "server_error" if status >= 500 else "other"), code) from exc
        except BotoCoreError as exc:
            raise StoreError("connection", type(exc).__name__) from exc


def _obstore_can_name(key: str) -> bool:
    return key.isprintable() and all(part not in ("", ".", "..") for part in key.split("/"))


def _store_error(exc: Exception) -> StoreError:
    failure = failure_of(exc)
    return StoreError(failure.cause, failure.code)
