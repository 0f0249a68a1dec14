"""INTAKE=messages: the e-mail is the body of the message, or lies in S3 and the message is a pointer to it."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

from pillarbox.payload import Pointer, pointer_in
from service2_consumer.intake.message_filter import MessageFilter
from service2_consumer.model import Download, InFlightMessage, PoisonError, Reading
from service2_consumer.ports import ObjectMissingError, ObjectSource, ObjectTooLargeError
from service2_consumer.record import Recorder


class PayloadStore:
    """The bucket and the prefix that pointers may lead to; a pointer elsewhere could read what it should not."""

    def __init__(self, source: ObjectSource, bucket: str, prefix: str) -> None:
        self.source = source
        self._bucket = bucket
        self._prefix = prefix

    def read(self, pointer: Pointer) -> bytes:
        """Return the body that the pointer stands for. Raise PoisonError and StoreError."""
        self.require_own(pointer)
        try:
            found = self.source.read(pointer.key, version=None, etag=None, max_bytes=pointer.size_bytes)
        except ObjectMissingError:
            raise PoisonError("payload_missing", "the pointer leads to no object") from None
        except ObjectTooLargeError:
            raise _size_mismatch() from None
        if len(found.content) != pointer.size_bytes:
            raise _size_mismatch()
        return found.content

    def require_own(self, pointer: Pointer) -> None:
        """Raise PoisonError unless the pointer leads into the bucket, below the prefix."""
        if pointer.bucket != self._bucket or not pointer.key.startswith(self._prefix):
            raise PoisonError("foreign_payload", "the pointer leads outside PAYLOAD_BUCKET and PAYLOAD_PREFIX")


def _size_mismatch() -> PoisonError:
    return PoisonError("payload_size_mismatch", "the payload's size differs from the size in the attribute")


class MessageIntake:
    """Opens messages that hold e-mails. Without `payloads`, pointers are poison."""

    def __init__(
        self,
        recorder: Recorder,
        message_filter: MessageFilter,
        *,
        on_filtered: Literal["dead_letter", "drop"],
        payloads: PayloadStore | None,
        max_payload_bytes: int,
    ) -> None:
        self._recorder = recorder
        self._filter = message_filter
        self._drops = on_filtered == "drop"
        self._payloads = payloads
        self._max_payload_bytes = max_payload_bytes

    def check(self) -> None:
        """Do nothing: an e-mail in its message needs no bucket of payloads."""

    def probe(self) -> None:
        """Verify that payloads can be read. Raise StoreError."""
        if self._payloads:
            self._payloads.source.probe()

    def open(self, message: InFlightMessage, now: datetime) -> Reading | Download:
        """Return the record of a message, or how to read it from S3. Does no I/O and raises nothing."""
        if not self._filter.accepts(message.attributes):
            if self._drops:
                return Reading(skipped=("filtered",))
            return Reading(poison=PoisonError("filtered", "its attributes do not match MESSAGE_FILTER"))
        try:
            pointer = pointer_in(message.body, message.attributes)
            if pointer is None:
                return Reading((self._recorder.record(message, now),))
            return self._download(message, pointer)
        except PoisonError as exc:
            return Reading(poison=exc)
        except ValueError as exc:
            return Reading(poison=PoisonError("not_a_pointer", str(exc)))

    def _download(self, message: InFlightMessage, pointer: Pointer) -> Download:
        payloads = self._payloads
        if payloads is None:
            raise PoisonError("foreign_payload", "the message is a pointer, and PAYLOAD_BUCKET is not set")
        payloads.require_own(pointer)
        if pointer.size_bytes > self._max_payload_bytes:
            raise PoisonError("too_large", f"the payload exceeds {self._max_payload_bytes} bytes")
        received = replace(message)  # the lane clears the body and the attributes of what it holds

        def read(now: datetime) -> Reading:
            try:
                return Reading((self._recorder.record(received, now, payloads.read(pointer)),))
            except PoisonError as exc:
                return Reading(poison=exc)

        return Download(pointer.key, pointer.size_bytes, (message,), read)
