"""The S3 adapter: writes each object once. Errors of obstore become StoreError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from pillarbox_aws.object_store import Failure, ObjectStoreError, create_object, failure_of
from service2_consumer.model import Outcome, Upload
from service2_consumer.ports import OverwritesError, RefusedObjectError, StoreError
from service2_consumer.record import digests_of

if TYPE_CHECKING:
    from obstore.store import S3Store

PROBE_KEY = "health/service2-consumer"

MAX_REQUESTS_PER_PUT = 4  # PUT; if the key is taken, GET; if by another e-mail, PUT below conflicts/, and HEAD
# These errors concern one object, not the store.
_REFUSED_CODES = frozenset({"KeyTooLongError", "EntityTooLarge", "MetadataTooLarge"})


class S3Archive:
    """Writes objects into one bucket, each with at most MAX_REQUESTS_PER_PUT requests."""

    def __init__(self, store: S3Store, *, allow_overwrite: bool = False) -> None:
        self._store = store
        self._allow_overwrite = allow_overwrite

    def put(self, upload: Upload) -> Outcome:
        """Write an object unless it exists. Raise StoreError and RefusedObjectError."""
        if self._created(upload.key, upload):
            return Outcome.STORED
        if upload.conflict_key is None:
            self._require(upload.key)
            return Outcome.DUPLICATE
        if self._holds(upload.key, upload):
            return Outcome.DUPLICATE
        if not self._created(upload.conflict_key, upload):
            self._require(upload.conflict_key)  # the key contains the digest, so the object is this e-mail
        return Outcome.CONFLICT

    def probe(self) -> None:
        """Verify that the bucket accepts writes. Raise StoreError."""
        self._put_probe("overwrite")

    def check(self) -> None:
        """Verify that the bucket accepts writes and, unless overwriting is allowed, refuses a second write of a key.

        Raise StoreError and OverwritesError. Replicas may start at the same time: S3 answers a create with 412 if the
        object exists, and with 409 during another write of it.
        """
        self.probe()
        if self._allow_overwrite:
            return
        for _ in range(2):  # the first succeeds if somebody has just emptied the bucket
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
            raise _translated(exc) from exc

    def _created(self, key: str, upload: Upload) -> bool:
        attributes = {"Content-Type": upload.content_type, upload.digest_name: upload.digest}
        if upload.content_encoding:
            attributes["Content-Encoding"] = upload.content_encoding
        try:
            return create_object(self._store, key, upload.body, attributes)
        except ObjectStoreError as exc:
            raise _error(exc.failure) from exc

    def _holds(self, key: str, upload: Upload) -> bool:
        """Return whether the existing object at a key holds the same e-mail.

        If the metadata does not prove it, the content decides: some gateways lose metadata, and some answers are
        corrupted; neither means another e-mail. An answer that proves nothing raises StoreError, and is retried.
        """
        with _reading():
            found = obstore.get(self._store, key)
            digest = found.attributes.get(upload.digest_name)
            if digest == upload.digest:
                return True
            digests = digests_of(bytes(found.bytes()))
        if upload.digest in digests.of_content:
            return True
        if digest is None and not digests.is_document:
            raise StoreError("unclear", "neither digest nor document")
        return False

    def _require(self, key: str) -> None:
        """Raise StoreError unless an object exists at a key."""
        with _reading():
            obstore.head(self._store, key)


@contextmanager
def _reading() -> Iterator[None]:
    """Translate the errors of a read. The object may not exist yet: S3 answers 409 while another PUT runs."""
    try:
        yield
    except FileNotFoundError as exc:
        raise StoreError("contended", "ConditionalRequestConflict") from exc
    except (BaseError, OSError, ValueError) as exc:
        raise _translated(exc) from exc


def _translated(exc: Exception) -> Exception:
    return _error(failure_of(exc))


def _error(failure: Failure) -> Exception:
    if failure.code in _REFUSED_CODES:
        return RefusedObjectError(failure.code)
    return StoreError(failure.cause, failure.code)
