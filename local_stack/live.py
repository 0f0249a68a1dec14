"""The live line of a running stack: accepted, stored, waiting, failed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from local_stack.processes import direct


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of e-mails since the services started; `waiting` is the number of messages in the queues now."""

    accepted: int
    stored: int
    waiting: int
    failed: int
    files: int = 0

    def __str__(self) -> str:
        line = f"accepted {self.accepted}   stored {self.stored}   waiting {self.waiting}   failed {self.failed}"
        return f"{line}   files {self.files}" if self.files else line


def read(api_url: str, consumer_url: str, file_intake_url: str) -> Figures:
    """Read the services' /metrics. Raise OSError or HTTPException if one does not answer.

    `failed` is the sum of the requests that the API refused and the messages that the consumers could not store;
    `files` is the number of archived files.
    """
    emails = figures(_metrics(api_url) + _metrics(consumer_url))
    return with_files(emails, figures(_metrics(file_intake_url)))


def with_files(emails: Figures, files: Figures) -> Figures:
    """Return the figures of the e-mails with those of file-intake added."""
    return replace(
        emails, waiting=emails.waiting + files.waiting, failed=emails.failed + files.failed, files=files.stored
    )


def figures(metrics: str) -> Figures:
    """Return the figures of metrics in the Prometheus text format, summed over their labels."""
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]

    def total(name: str, wanted: Callable[[Sample], bool] = lambda _sample: True) -> int:
        return int(sum(s.value for s in samples if s.name == name and wanted(s)))

    return Figures(
        accepted=total("pillarbox_api_published_total"),
        stored=total("pillarbox_consumer_stored_total"),
        waiting=total("pillarbox_consumer_queue_messages", lambda s: s.labels["state"] in {"visible", "in_flight"}),
        failed=total("pillarbox_api_rejections_total") + total("pillarbox_consumer_invalid_total"),
    )


def _metrics(service_url: str) -> str:
    with direct.open(f"{service_url}/metrics", timeout=2) as response:
        text: str = response.read().decode()
        return text
