"""What the views of the page use. Each part is made when it is used first, so that one that fails leaves the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pillarbox_ops import reasons
from pillarbox_ops.dead_letters import DeadLetterQueue
from pillarbox_ops.ui.emails import Emails
from pillarbox_ops.ui.mending import Plans
from pillarbox_ops.ui.queues import Queue, Queues
from pillarbox_ops.ui.sampler import Sampler

if TYPE_CHECKING:
    from pillarbox_ops.app import App


class Services:
    """The archive, the queues and the figures of one pipeline."""

    def __init__(self, app: App, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._app = app
        self.now = now
        self.target = app.target
        self.plans = Plans()
        self.sampler = Sampler(self.target.api_url, self.target.consumer_url)

    @cached_property
    def emails(self) -> Emails:
        """Return the archive. Raise OpsError if its bucket is not known."""
        return Emails(self._app.archive, self.now)

    @cached_property
    def queues(self) -> Queues:
        """Return a look into queues."""
        return Queues(lambda: self._app.clients.sqs, self._app.clients.endpoint("sqs"))

    @cached_property
    def all_queues(self) -> Mapping[str, Queue]:
        """Return the queues that the target names, by their word in addresses."""
        target = self.target
        letters = {
            name: DeadLetterQueue.of(self._app, files=name == "files-dead-letters")
            for name, url in (
                ("dead-letters", target.dead_letter_queue_url),
                ("files-dead-letters", target.files_dead_letter_queue_url),
            )
            if url
        }
        found = [
            Queue("emails", "E-mails", target.queue_url, reasons.of_email),
            Queue("files", "Files", target.files_queue_url, lambda body, _attributes: reasons.of_file(body)),
        ]
        found += [Queue(name, _TITLES[name], letter.url, letter.judge, letter) for name, letter in letters.items()]
        return {queue.name: queue for queue in sorted(found, key=lambda queue: _ORDER.index(queue.name)) if queue.url}

    def read_inbox(self, key: str, version: str) -> bytes:
        """Return a file of the inbox. Raise OpsError if it cannot be read."""
        return self._app.clients.object(self.target.need("inbox_bucket"), key, version)


_TITLES = {"dead-letters": "Dead letters", "files-dead-letters": "Dead letters of files"}
_ORDER = ("emails", "dead-letters", "files", "files-dead-letters")
