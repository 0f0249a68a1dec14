"""The archive: lists its objects by time, reads many at once, and finds one e-mail by its id."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from pillarbox.ids import parse_message_id, time_of
from pillarbox.object_key import conflict_prefix
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.layout import BATCH_SUFFIX, Layout, Span, id_in, instant, time_in
from pillarbox_ops.records import ArchivedEmail, StoredObject, parse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef
    from obstore.store import S3Store

_PARALLEL = 32
_LISTS = 16  # of shards at the same time
_AHEAD = 4 * _PARALLEL  # objects that are read before their turn
_AHEAD_BYTES = 16 * 1024 * 1024  # and their size as stored: parsed, they take some ten times as much


class Archive:
    """The bucket of the archive. boto3 lists its objects; obstore reads them, and is created at the first read."""

    def __init__(self, s3: S3Client, new_store: Callable[[], S3Store], bucket: str, layout: Layout) -> None:
        self._s3 = s3
        self._new_store = new_store
        self._store: S3Store | None = None
        self.bucket = bucket
        self.layout = layout

    def objects(self, span: Span) -> Iterator[StoredObject]:
        """Yield the objects whose e-mails may lie in a span, the oldest prefix first.

        An object that holds one e-mail is compared with the span by the time of the id in its key. A batch is always
        included, and so is an object without such a time, of a foreign producer: the caller compares its records.
        """
        for found in self._listed(self.layout.prefixes(span)):
            timestamp = None if found.key.endswith(BATCH_SUFFIX) else time_in(found.key)
            if timestamp is None or timestamp in span:
                yield found

    def below(self, prefix: str, *, after: str = "") -> Iterator[StoredObject]:
        """Yield the objects below a prefix in the order of their keys, from the one that follows the key `after`."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=after, PaginationConfig={"PageSize": 1000}
        )
        for page in pages:
            for entry in page.get("Contents", []):
                yield _stored(entry)

    def _listed(self, prefixes: Iterator[str]) -> Iterator[StoredObject]:
        """Yield the objects below prefixes, in their order; the many small ones of shards are listed in parallel."""
        if not self.layout.is_sharded:  # the list of a whole day may be too long to hold
            for prefix in prefixes:
                yield from self.below(prefix)
            return
        with ThreadPoolExecutor(_LISTS) as pool:

            def listing(prefix: str) -> Future[list[StoredObject]]:
                return pool.submit(lambda: list(self.below(prefix)))

            try:
                waiting = deque(map(listing, islice(prefixes, _LISTS)))
                while waiting:
                    yield from waiting.popleft().result()
                    waiting.extend(map(listing, islice(prefixes, 1)))
            finally:
                pool.shutdown(cancel_futures=True)

    def folders(self, prefix: str) -> list[str]:
        """Return the prefixes directly below a prefix that ends in a slash, without their slash, in order."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        return [
            folder["Prefix"].removeprefix(prefix).rstrip("/")
            for page in pages
            for folder in page.get("CommonPrefixes", [])
        ]

    def read(self, found: StoredObject) -> list[ArchivedEmail]:
        """Return the records of an object. Raise OpsError if it cannot be read or holds none."""
        raw = self.raw(found.key)
        try:
            emails = parse(found, raw)
        except ValueError as exc:
            raise OpsError(f"s3://{self.bucket}/{found.key} {exc}") from None
        if time_in(found.key):
            return emails
        placed_at = self.layout.placed_at(found.key, found.modified_at)
        return [replace(email, placed_at=placed_at) for email in emails]

    def raw(self, key: str) -> bytes:
        """Return an object's bytes. Raise OpsError."""
        import obstore  # noqa: PLC0415  slow to import
        from obstore.exceptions import BaseError  # noqa: PLC0415

        from pillarbox_aws.object_store import failure_of  # noqa: PLC0415

        self._store = self._store or self._new_store()
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except (BaseError, OSError, ValueError) as exc:
            failure = failure_of(exc)
            raise OpsError(f"s3://{self.bucket}/{key} cannot be read: {failure.code or failure.cause}") from None

    def read_all(
        self,
        objects: Iterable[StoredObject],
        done: Callable[[], None] = lambda: None,
        failed: Callable[[OpsError], None] | None = None,
    ) -> Iterator[ArchivedEmail]:
        """Yield the records of objects, in their order, while the following ones are read.

        `done` is called once for each object. What cannot be read is given to `failed`; without it raise OpsError.
        """
        waiting: deque[tuple[Future[list[ArchivedEmail]], int]] = deque()
        held_bytes = 0
        with ThreadPoolExecutor(_PARALLEL) as pool:
            try:
                for found in objects:
                    waiting.append((pool.submit(self.read, found), found.size))
                    held_bytes += found.size
                    while len(waiting) >= _AHEAD or held_bytes > _AHEAD_BYTES:
                        future, size = waiting.popleft()
                        held_bytes -= size
                        yield from _result(future, failed)
                        done()
                for future, _ in waiting:
                    yield from _result(future, failed)
                    done()
            finally:
                pool.shutdown(cancel_futures=True)

    def find(self, message_id: str) -> ArchivedEmail | None:
        """Return the e-mail of an id, found without a search: the id dates the key. None if it is not archived.

        If the keys depend on the sender, the prefix of the id's time is listed.
        """
        return next(self.copies(message_id), None)

    def copies(self, message_id: str) -> Iterator[ArchivedEmail]:
        """Yield each record of an id: after a crash a batch may hold an e-mail that another object holds too."""
        keys = self.layout.keys_of(message_id)
        if keys:
            for found in self.below(keys[0]):
                if found.key in keys:
                    yield from self.read(found)
        yield from self._in_batches(message_id)
        yield from self._in_the_day(message_id)

    def digest(self, key: str) -> str | None:
        """Return the `email-sha256` that the consumer noted at an object; None if it has none."""
        return self._s3.head_object(Bucket=self.bucket, Key=key)["Metadata"].get("email-sha256")

    def conflicts(self, message_id: str) -> list[StoredObject]:
        """Return the objects that hold other e-mails under an id."""
        return list(self.below(conflict_prefix(message_id, time_of(message_id))))

    def _in_batches(self, message_id: str) -> Iterator[ArchivedEmail]:
        """Yield the records of an id from its hour's batches, the latest that may hold it first.

        A batch is named after the first of its sorted members, so one with a later name does not hold the id; one that
        a client repeated hours later may lie in any of the hour.
        """
        candidates = []
        for found in self.below(self.layout.batches_of(message_id)):
            if found.key.endswith(BATCH_SUFFIX):
                if (id_in(found.key) or "") > message_id:
                    break
                candidates.append(found)
        yield from (email for email in self.read_all(reversed(candidates)) if email.message_id == message_id)

    def _in_the_day(self, message_id: str) -> Iterator[ArchivedEmail]:
        """Yield the records of objects whose keys hold the id somewhere, as with a sender in the template."""
        if not self.layout.keys.depends_on_sender:
            return
        for prefix in self.layout.prefixes(instant(time_of(message_id))):
            for found in self.below(prefix):
                if message_id in found.key:
                    yield from self.read(found)


def checked_id(text: str) -> str:
    """Return the canonical form of a message id. Raise OpsError."""
    try:
        return parse_message_id(text)
    except ValueError as exc:
        raise OpsError(f"{text[:60]!r} is {exc}", ExitCode.USAGE) from None


def _result(future: Future[list[ArchivedEmail]], failed: Callable[[OpsError], None] | None) -> Iterable[ArchivedEmail]:
    try:
        return future.result()
    except OpsError as exc:
        if failed is None:
            raise
        failed(exc)
        return ()


def _stored(entry: ObjectTypeDef) -> StoredObject:
    return StoredObject(entry["Key"], entry["Size"], entry["LastModified"])
