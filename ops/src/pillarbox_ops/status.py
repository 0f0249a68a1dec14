"""The state of a pipeline: its queues, services and last archived e-mail. What cannot be read is left out and noted."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pillarbox_ops.errors import OpsError, explained, missing
from pillarbox_ops.latest import Latest, last_archived
from pillarbox_ops.scraping import NotRoutedError, scrape

if TYPE_CHECKING:
    from pillarbox_ops.app import App

T = TypeVar("T")

QUEUES = {
    "queue": "queue_url",
    "dead_letters": "dead_letter_queue_url",
    "files": "files_queue_url",
    "files_dead_letters": "files_dead_letter_queue_url",
}
_COUNTS = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
_AGE_WINDOW = timedelta(minutes=10)  # SQS sends its metrics every minute or later
_NAMESPACES = ("pillarbox", "pillarbox-consumer")  # of k8s/base
_KUBECTL_SECONDS = 10


_NAMED = (*QUEUES.values(), "bucket", "api_url", "consumer_url", "file_intake_url")


@dataclass(frozen=True, slots=True)
class QueueState:
    """The messages of a queue as SQS estimates them, and the age of the oldest in seconds if CloudWatch has it."""

    name: str
    visible: int
    in_flight: int
    delayed: int
    oldest_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service by its /metrics: a few figures since it started."""

    name: str
    figures: Mapping[str, float]


@dataclass(slots=True)
class Status:
    """What was read, and a line for each thing that could not be."""

    queues: list[QueueState] = field(default_factory=list)
    services: list[ServiceState] = field(default_factory=list)
    replicas: dict[str, str] = field(default_factory=dict)
    last_archived: Latest | None = None
    problems: list[str] = field(default_factory=list)

    def document(self, now: datetime) -> dict[str, Any]:
        """Return the status as one JSON object."""
        return {
            "at": now,
            "queues": {state.name: _without_name(state) for state in self.queues},
            "services": {state.name: dict(state.figures) for state in self.services},
            "replicas": self.replicas,
            "last_archived": asdict(self.last_archived) if self.last_archived else None,
            "problems": self.problems,
        }


def read_status(app: App, now: datetime, kube_context: str | None = None) -> Status:
    """Return the state of an app's pipeline.

    Replicas are asked only of a cluster that is named: kubectl's own choice may be another environment's. Raise
    OpsError if neither that nor a queue, a bucket or a URL is named.
    """
    if not kube_context and not any(getattr(app.target, name) for name in _NAMED):
        raise missing("SQS_QUEUE_URL", "the URL of the queue, and no other variable names a part of a pipeline")
    status = Status()
    for name, attribute in QUEUES.items():
        url: str = getattr(app.target, attribute)
        if url and (state := _tried(status, name, partial(_queue, app, name, url))):
            age = _tried(status, f"age of {name}", partial(_oldest_seconds, app, url, now))
            status.queues.append(replace(state, oldest_seconds=age))
    for name, url, figures_of in (
        ("service1-api", app.target.api_url, _api_figures),
        ("service2-consumer", app.target.consumer_url, _consumer_figures),
        ("file-intake", app.target.file_intake_url, _consumer_figures),
    ):
        if url and (figures := _tried(status, name, partial(figures_of, url))):
            status.services.append(ServiceState(name, figures))
    if kube_context:
        status.replicas = _tried(status, "replicas", partial(_replicas, kube_context)) or {}
    if app.target.bucket:
        status.last_archived = _tried(status, "last archived", lambda: last_archived(app.archive))
    return status


def _tried(status: Status, what: str, read: Callable[[], T]) -> T | None:
    """Return what a call reads; None, with a line in `status`, if it fails for a reason that an operator can mend."""
    try:
        return read()
    except Exception as exc:
        text = explained(exc)
        if text is None:
            raise
        status.problems.append(f"{what}: {text}")
        return None


def _without_name(state: QueueState) -> dict[str, Any]:
    return {name: value for name, value in asdict(state).items() if name != "name"}


def _queue(app: App, name: str, url: str) -> QueueState:
    reply = app.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    found: Mapping[str, str] = reply["Attributes"]  # type: ignore[assignment]  # the stubs have literals for keys
    return QueueState(name, **{field: int(found[attribute]) for field, attribute in _COUNTS.items()})


def _oldest_seconds(app: App, url: str, now: datetime) -> int | None:
    found = app.clients.cloudwatch.get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": url.rpartition("/")[2]}],
        StartTime=now - _AGE_WINDOW,
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    last = max(found, key=lambda point: point["Timestamp"], default=None)
    return int(last["Maximum"]) if last else None


def _api_figures(url: str) -> dict[str, float]:
    try:
        samples = scrape(url)
    except NotRoutedError:  # the ingress does not route /metrics
        return {}
    return _known(
        published=samples.total("pillarbox_api_published_total"),
        rejected=samples.total("pillarbox_api_rejections_total"),
        token_age_seconds=samples.total("pillarbox_api_token_age_seconds"),
    )


def _consumer_figures(url: str) -> dict[str, float]:
    samples = scrape(url)
    stored = samples.total("pillarbox_consumer_age_seconds_count")
    waited = samples.total("pillarbox_consumer_age_seconds_sum")
    return _known(
        stored=samples.total("pillarbox_consumer_stored_total"),
        invalid=samples.total("pillarbox_consumer_invalid_total"),
        in_flight=samples.total("pillarbox_consumer_in_flight"),
        lanes_alive=samples.total("pillarbox_consumer_lanes_alive"),
        store_healthy=samples.total("pillarbox_consumer_store_healthy"),
        mean_lag_seconds=round(waited / stored, 3) if waited is not None and stored else None,
    )


def _known(**figures: float | None) -> dict[str, float]:
    """Return the figures that have a value; a gauge is NaN until the service knows."""
    return {name: value for name, value in figures.items() if value is not None and not math.isnan(value)}


def _replicas(context: str) -> dict[str, str]:
    """Return ready and wanted pods of each Deployment, such as `2/2`. Raise OpsError."""
    kubectl = shutil.which("kubectl")
    if not kubectl:
        raise OpsError("kubectl is not on PATH")
    replicas: dict[str, str] = {}
    for namespace in _NAMESPACES:
        command = [kubectl, "--context", context, "--namespace", namespace, "get", "deployments", "--output", "json"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=_KUBECTL_SECONDS, check=False)  # noqa: S603  a fixed command
        except subprocess.TimeoutExpired:
            raise OpsError(f"kubectl did not answer within {_KUBECTL_SECONDS} s") from None
        if ran.returncode:
            raise OpsError(f"kubectl: {(ran.stderr.strip() or 'failed').splitlines()[-1]}")
        for item in json.loads(ran.stdout)["items"]:
            wanted = item["spec"].get("replicas", 1)
            replicas[item["metadata"]["name"]] = f"{item['status'].get('readyReplicas', 0)}/{wanted}"
    return replicas
