"""GET /api/messages/<message_id>: what became of an e-mail, answered from the archive alone."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import orjson
from flask import Blueprint, Request, Response

from pillarbox.ids import MAX_RETENTION, parse_message_id, time_of
from pillarbox.message import rfc3339
from pillarbox.object_key import KeyTemplate, conflict_prefix
from pillarbox.probe import is_probe_id, probe_key
from service1_api.problems import RETRY_AFTER_SECONDS, Problem
from service1_api.request_log import context_of, current_request

LONGEST_WAIT_SECONDS = 5
NOT_SET = "STATUS_BUCKET is not set, so this service cannot read the archive; an operator can: pillarbox find ID"
KEY_UNKNOWN = (
    "in this layout of the archive the key cannot be derived from the id; an operator can search: pillarbox find ID"
)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 0.8
# RFC 7240, section 2: parameters of a preference are ignored, and only its first instance counts.
_WAIT = re.compile(r"""(?:^|,)[ \t]*wait[ \t]*=[ \t]*"?(\d{1,9})"?[ \t]*(?=[,;]|$)""", re.IGNORECASE)

log = logging.getLogger(__name__)


class ArchiveUnavailableError(Exception):
    """The archive did not answer; the text is a short cause."""


@dataclass(frozen=True, slots=True)
class ArchivedObject:
    """An e-mail's object: when it was written, its bytes as stored, the digest of the e-mail if S3 has it."""

    stored_at: datetime
    size: int
    sha256: str | None


class ReadsArchive(Protocol):
    """The bucket of the archive."""

    def find(self, key: str) -> ArchivedObject | None:
        """Return the object of a key, compressed or not; None if there is none. Raise ArchiveUnavailableError."""
        ...

    def has_below(self, prefix: str) -> bool:
        """Return whether any key begins with a prefix. Raise ArchiveUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class StatusSource:
    """The archive, and how its keys are built; `template` is None if an id alone does not tell the key."""

    archive: ReadsArchive
    template: KeyTemplate | None

    def keys(self, message_id: str) -> list[str]:
        """Return where an e-mail may lie, nowhere if its id does not tell. Probes have keys of their own."""
        keys = [probe_key(message_id)] if is_probe_id(message_id) else []
        if self.template:
            keys.append(self.template.key(message_id, time_of(message_id), ""))
        return keys


class Places:
    """Where status requests may be: at most `requests` at once, of which `waiting` may wait."""

    def __init__(self, *, requests: int, waiting: int) -> None:
        self._requests = threading.BoundedSemaphore(requests)
        self._waiting = threading.BoundedSemaphore(waiting)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Reserve a place for a request. Raise Problem if none is free."""
        if not self._requests.acquire(blocking=False):
            raise Problem("overloaded", "too many requests for a status are being handled")
        try:
            yield
        finally:
            self._requests.release()

    @contextmanager
    def to_wait(self) -> Iterator[bool]:
        """Reserve a place to wait. Yield False if none is free."""
        taken = self._waiting.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._waiting.release()


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a request waits: `until` says that all must end, and time is passed in."""

    ends: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def status_routes(
    authorize: Callable[[Request], None], source: StatusSource | str, places: Places, waiting: Waiting
) -> Blueprint:
    """Return the route. `authorize` raises Problem; a `source` of text says why the status is unavailable."""
    routes = Blueprint("status", __name__)
    views = _Views(authorize, source, places, waiting)
    routes.get("/api/messages/<message_id>")(views.status)
    return routes


def location_of(message_id: str) -> str:
    """Return the path of the status of an e-mail."""
    return f"/api/messages/{message_id}"


def wait_seconds(prefer: str | None) -> int:
    """Return the time that a Prefer header asks to wait, at most LONGEST_WAIT_SECONDS; 0 if none."""
    found = _WAIT.search(prefer) if prefer else None
    return min(int(found[1]), LONGEST_WAIT_SECONDS) if found else 0


class _Views:
    def __init__(
        self,
        authorize: Callable[[Request], None],
        source: StatusSource | str,
        places: Places,
        waiting: Waiting,
    ) -> None:
        self._authorize = authorize
        self._source = source
        self._places = places
        self._waiting = waiting

    def status(self, message_id: str) -> Response:
        current, source = current_request(), self._source
        if isinstance(source, str):  # before the token, whose check may wait: there are no threads for it then
            raise Problem("status_unavailable", source)
        with self._places.one():
            self._authorize(current)
            try:
                canonical = parse_message_id(message_id)
            except ValueError as exc:
                raise Problem("invalid_message_id", f"the id in the path is {exc}") from None
            context_of(current.environ).message_id = canonical
            return self._answer(source, canonical, wait_seconds(current.environ.get("HTTP_PREFER")))

    def _answer(self, source: StatusSource, message_id: str, seconds: int) -> Response:
        keys = source.keys(message_id)
        if not keys:
            raise Problem("status_unavailable", KEY_UNKNOWN)

        def look() -> ArchivedObject | None:
            return next(filter(None, map(source.archive.find, keys)), None)

        headers = {"Cache-Control": "no-store"}
        try:
            found = look()
            if seconds:
                with self._places.to_wait() as may_wait:
                    if may_wait:
                        headers["Preference-Applied"] = f"wait={seconds}"
                        found = found or self._awaited(look, seconds)
            if found is None:
                raise _not_archived(message_id, headers)
            conflict = source.archive.has_below(conflict_prefix(message_id, time_of(message_id)))
        except ArchiveUnavailableError as exc:
            trace_id = context_of(current_request().environ).trace_id
            extra = {"message_id": message_id, "trace_id": trace_id, "cause": str(exc)}
            log.warning("status was not read", extra=extra)
            raise Problem("store_unavailable", "the archive does not answer at present") from None
        document = {
            "message_id": message_id,
            "status": "archived",
            "archived_at": rfc3339(found.stored_at),
            "size": found.size,
            "sha256": found.sha256,
            "conflict": conflict,
        }
        return Response(orjson.dumps(document), 200, headers, mimetype="application/json")

    def _awaited(self, look: Callable[[], ArchivedObject | None], seconds: int) -> ArchivedObject | None:
        """Look again until the object is there, the time is over, or the service drains."""
        deadline = self._waiting.clock() + seconds
        pause = _FIRST_PAUSE_SECONDS
        while (left := deadline - self._waiting.clock()) > 0 and not self._waiting.ends():
            self._waiting.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if found := look():
                return found
        return None


def _not_archived(message_id: str, headers: dict[str, str]) -> Problem:
    """Return the problem of an e-mail that is not in the archive; with Retry-After while a queue may still hold it."""
    if datetime.now(UTC) - time_of(message_id) < MAX_RETENTION:
        headers = headers | {"Retry-After": str(RETRY_AFTER_SECONDS)}
    detail = "not archived yet, or never accepted: SQS cannot look up a message by id"
    return Problem("not_archived", detail, headers=headers)
