"""E-mails chosen by ids or by conditions, read from the archive with a progress bar; what fails is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from queue import Full, Queue

from pillarbox_ops.archive import Archive
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.output import Output
from pillarbox_ops.records import ArchivedEmail, StoredObject
from pillarbox_ops.search import Query

_IDS_AT_ONCE = 8
_LISTED_AHEAD = 100_000  # objects, of some 300 bytes each
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids in their canonical form, or else a query; at most `limit` e-mails."""

    query: Query
    ids: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """Return whether no id and no condition was given."""
        return not self.ids and self.query == Query()


class Reading:
    """One read of a selection. After it `missing` and `unreadable` say what was not read."""

    def __init__(self, archive: Archive, output: Output, selection: Selection, now: datetime) -> None:
        self._archive = archive
        self._output = output
        self._selection = selection
        self._now = now
        self.missing: list[str] = []
        self.unreadable = 0

    def emails(self) -> Iterator[ArchivedEmail]:
        """Yield the e-mails: those of ids in their order, those of a query from the oldest id on."""
        found = self._by_id() if self._selection.ids else self._by_query()
        return islice(found, self._selection.limit)

    def exit_code(self, matched: int) -> ExitCode:
        """Return the exit code of a command that has used `matched` e-mails."""
        if self.unreadable or (matched and self.missing):
            return ExitCode.DONE_IN_PART
        return ExitCode.DONE if matched else ExitCode.NOTHING_MATCHED

    def _by_id(self) -> Iterator[ArchivedEmail]:
        ids = tuple(dict.fromkeys(self._selection.ids))
        with ThreadPoolExecutor(_IDS_AT_ONCE) as pool:
            for message_id, future in [(message_id, pool.submit(self._archive.find, message_id)) for message_id in ids]:
                try:
                    email = future.result()
                except OpsError as exc:
                    self._failed(exc)
                    continue
                if email is None:
                    self.missing.append(message_id)
                    self._output.note(f"{message_id} is not in the archive")
                else:
                    yield email

    def _by_query(self) -> Iterator[ArchivedEmail]:
        span = self._selection.query.span(self._now)
        query = self._selection.query.within(span)
        objects = self._archive.objects(span)
        with self._output.progress("reading", None) as progress:
            listed = listed_ahead(objects, progress.expect)
            yield from filter(query.matches, self._archive.read_all(listed, progress.advance, self._failed))

    def _failed(self, error: OpsError) -> None:
        self.unreadable += 1
        self._output.note(str(error))


def listed_ahead(objects: Iterable[StoredObject], found: Callable[[], None]) -> Iterator[StoredObject]:
    """Yield objects while a thread goes on listing, so that a progress bar knows how many there are.

    `found` is called in that thread, once for each object. What the listing raises is raised here.
    """
    listed: Queue[StoredObject | Exception | None] = Queue(_LISTED_AHEAD)
    ended = threading.Event()

    def put(item: StoredObject | Exception | None) -> None:
        while not ended.is_set():
            try:
                listed.put(item, timeout=_LOOK_SECONDS)
            except Full:
                continue
            return

    def list_all() -> None:
        try:
            for entry in objects:
                if ended.is_set():
                    return
                found()
                put(entry)
        except Exception as exc:  # noqa: BLE001  raised again where the objects are used
            put(exc)
        else:
            put(None)

    thread = threading.Thread(target=list_all, name="lister", daemon=True)
    thread.start()
    try:
        while (item := listed.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        ended.set()
        thread.join()
