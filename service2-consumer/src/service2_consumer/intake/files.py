"""INTAKE=files: a message is an event of S3, and each object that it names is an e-mail to archive."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pillarbox.s3_events import EventError, ObjectCreated, parse_events
from service2_consumer.intake.email_file import parse_file
from service2_consumer.intake.object_id import NULL_VERSION
from service2_consumer.intake.special_objects import is_client_side_encrypted, is_ses_setup
from service2_consumer.model import Download, InFlightMessage, PoisonError, Reading, Record, StoredObject
from service2_consumer.ports import ObjectChangedError, ObjectMissingError, ObjectSource, ObjectTooLargeError
from service2_consumer.record import Recorder

INBOX_PROBE_KEY = "health/file-intake"  # the role in infrastructure/pipeline.yaml may read it


@dataclass(frozen=True, slots=True)
class Inbox:
    """The bucket with the files. `own_prefixes` are those that the archive writes, if it is the same bucket."""

    bucket: str
    own_prefixes: tuple[str, ...]
    max_file_bytes: int
    on_missing: Literal["dead_letter", "drop"]


class FileIntake:
    """Opens events of S3. Each object is read by its version, so that a record is that of exactly this object."""

    def __init__(self, recorder: Recorder, source: ObjectSource, inbox: Inbox) -> None:
        self._recorder = recorder
        self._source = source
        self._inbox = inbox

    def check(self) -> None:
        """Verify that the inbox can be read. Raise StoreError."""
        self._source.probe()

    def probe(self) -> None:
        """Verify that the inbox can be read. Raise StoreError."""
        self._source.probe()

    def open(self, message: InFlightMessage, now: datetime) -> Reading | Download:  # noqa: ARG002  # read later
        """Return how to read the objects of an event, or that there is nothing to read. Raise nothing."""
        try:
            events = parse_events(message.body)
        except EventError as exc:
            return Reading(poison=PoisonError("not_an_event", str(exc)))
        skipped: list[str] = []
        poison: list[PoisonError] = []
        wanted: list[ObjectCreated] = []
        for event in events:
            try:
                reason = event.reason if not isinstance(event, ObjectCreated) else self._reason_to_skip(event)
            except PoisonError as exc:
                poison.append(exc)
                continue
            if reason:
                skipped.append(reason)
            elif isinstance(event, ObjectCreated):
                wanted.append(event)
        if not wanted:
            return Reading(skipped=skipped, poison=poison[0] if poison else None)
        received = replace(message)  # the lane clears the body and the attributes of what it holds

        def read(now: datetime) -> Reading:
            return self._read(received, wanted, Reading(skipped=skipped, poison=poison[0] if poison else None), now)

        return Download(wanted[0].key, sum(map(self._size, wanted)), (message,), read)

    def _reason_to_skip(self, event: ObjectCreated) -> str:
        """Return why an object is acknowledged without a look at it; empty if it is not. Raise PoisonError."""
        if event.bucket != self._inbox.bucket:
            raise PoisonError("foreign_bucket", "the event names another bucket than INBOX_BUCKET_NAME")
        if event.key.startswith(self._inbox.own_prefixes):
            return "own_output"
        if is_ses_setup(event.key):
            return "ses_setup"
        if (event.size_bytes or 0) > self._inbox.max_file_bytes:
            raise PoisonError("too_large", f"the file exceeds MAX_FILE_BYTES ({self._inbox.max_file_bytes})")
        return ""

    def _size(self, event: ObjectCreated) -> int:
        return self._inbox.max_file_bytes if event.size_bytes is None else event.size_bytes

    def _read(
        self, message: InFlightMessage, wanted: Sequence[ObjectCreated], opened: Reading, now: datetime
    ) -> Reading:
        """Read the objects of a message. One that is poison does not keep the others from the archive."""
        records: list[Record] = []
        skipped, poison = list(opened.skipped), opened.poison
        for event in wanted:
            try:
                records.append(self._record(event, message, now))
            except ObjectChangedError:
                skipped.append("superseded")  # the event of the newer object follows
            except ObjectMissingError:
                if self._inbox.on_missing == "drop":
                    skipped.append("missing")
                else:
                    poison = poison or PoisonError(
                        "missing_object", "the object does not exist; ON_MISSING_OBJECT=drop"
                    )
            except PoisonError as exc:
                poison = poison or exc
        return Reading(records, skipped, poison)

    def _record(self, event: ObjectCreated, message: InFlightMessage, now: datetime) -> Record:
        found = self._get(event)
        if is_client_side_encrypted(found.metadata):
            raise PoisonError("client_side_encrypted", "the file was encrypted before it was uploaded")
        return self._recorder.file_record(parse_file(found.content, found.last_modified), event, found, message, now)

    def _get(self, event: ObjectCreated) -> StoredObject:
        limit = self._size(event)
        version = None if event.version == NULL_VERSION else event.version  # that of a later object, too
        try:
            return self._source.read(event.key, version=version, etag=event.etag, max_bytes=limit)
        except ObjectTooLargeError:
            if event.size_bytes is None:
                raise PoisonError("too_large", f"the file exceeds MAX_FILE_BYTES ({limit})") from None
            raise PoisonError("not_an_event", "the object is larger than its event says") from None
