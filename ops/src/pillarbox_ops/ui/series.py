"""What the services' /metrics say over the last minutes: read by a thread into a ring. Rates and quantiles are pure."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import urllib3
from prometheus_client.parser import text_string_to_metric_families

EVERY_SECONDS = 2.0
KEPT = 301  # ten minutes
_TIMEOUT_SECONDS = 1.5
_WINDOW = 5  # samples between which a rate or a quantile is taken, so that a plot is no comb

Read = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """The figures of a moment (monotonic seconds); None if a service did not answer. `ages` are cumulative buckets."""

    at: float
    accepted: float | None = None
    stored: float | None = None
    waiting: float | None = None
    in_flight: float | None = None
    ages: Mapping[float, float] | None = None


class Sampler:
    """Reads both services every two seconds from `start` to `stop`. An empty address is never asked."""

    def __init__(self, api_url: str, consumer_url: str, read: Read | None = None) -> None:
        self.api_url, self.consumer_url = api_url.rstrip("/"), consumer_url.rstrip("/")
        self._read = read or _http_read
        self._ring: deque[Reading] = deque(maxlen=KEPT)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        if self.api_url or self.consumer_url:
            self._thread.start()

    def stop(self) -> None:
        """End; the thread ends by itself within seconds."""
        self._ended.set()

    def readings(self) -> list[Reading]:
        """Return what was read, the oldest first."""
        return list(self._ring)

    def sample(self) -> None:
        """Read once."""
        api, consumer = (self._read(url) if url else None for url in (self.api_url, self.consumer_url))
        self._ring.append(reading(time.monotonic(), api, consumer))

    def _run(self) -> None:
        while True:
            self.sample()
            if self._ended.wait(EVERY_SECONDS):
                return


_http = urllib3.PoolManager(timeout=urllib3.Timeout(_TIMEOUT_SECONDS), retries=False)  # never through a proxy


def _http_read(url: str) -> str | None:
    try:
        answer = _http.request("GET", f"{url}/metrics")
        return answer.data.decode() if answer.status == 200 else None
    except (urllib3.exceptions.HTTPError, UnicodeDecodeError):
        return None


def reading(at: float, api: str | None, consumer: str | None) -> Reading:
    """Return the figures of two texts of metrics; None stands for a service that did not answer."""
    api_figures, consumer_figures = _figures(api), _figures(consumer)
    return Reading(
        at,
        accepted=api_figures.get("pillarbox_api_published_total"),
        stored=consumer_figures.get("pillarbox_consumer_stored_total"),
        waiting=consumer_figures.get("visible"),
        in_flight=consumer_figures.get("in_flight"),
        ages={float(le): n for le, n in consumer_figures.items() if le[:1].isdigit() or le == "+Inf"} or None,
    )


def _figures(text: str | None) -> dict[str, float]:
    """Return the totals by name, the depth by state and the buckets of the age by bound."""
    figures: dict[str, float] = {}
    try:
        samples = [s for family in text_string_to_metric_families(text or "") for s in family.samples]
    except ValueError:
        return {}
    for sample in samples:
        name = sample.name
        if name == "pillarbox_consumer_queue_messages":
            name = sample.labels.get("state", "")
        elif name == "pillarbox_consumer_age_seconds_bucket":
            name = sample.labels.get("le", "")
        figures[name] = figures.get(name, 0) + sample.value
    return figures


@dataclass(frozen=True, slots=True)
class Series:
    """A named line of a plot: a value for each reading but the first; None where there is none."""

    name: str
    values: Sequence[float | None]

    @property
    def now(self) -> float | None:
        """Return the latest value."""
        return self.values[-1] if self.values else None

    @property
    def peak(self) -> float:
        """Return the largest value, or 0."""
        return max((value for value in self.values if value is not None), default=0)


def rate(name: str, readings: Sequence[Reading], figure: Callable[[Reading], float | None]) -> Series:
    """Return how much a counter grew a second. A counter that fell was started anew."""
    values: list[float | None] = []
    for position in range(1, len(readings)):
        earlier, later = readings[max(0, position - _WINDOW)], readings[position]
        before, after = figure(earlier), figure(later)
        known = before is not None and after is not None and after >= before
        values.append((after - before) / (later.at - earlier.at) if known else None)  # type: ignore[operator]  # known
    return Series(name, values)


def level(name: str, readings: Sequence[Reading], figure: Callable[[Reading], float | None]) -> Series:
    """Return a gauge as it was read."""
    return Series(name, [figure(later) for _, later in pairwise(readings)])


def quantile(name: str, readings: Sequence[Reading], share: float) -> Series:
    """Return a quantile in seconds of what the histogram of ages gained; None where nothing was stored."""
    values = []
    for position in range(1, len(readings)):
        earlier, later = readings[max(0, position - _WINDOW)].ages, readings[position].ages
        values.append(_quantile(earlier, later, share) if earlier and later else None)
    return Series(name, values)


def _quantile(earlier: Mapping[float, float], later: Mapping[float, float], share: float) -> float | None:
    """Interpolate in the bucket, as Prometheus's histogram_quantile does."""
    gained = [(bound, later[bound] - earlier.get(bound, 0)) for bound in sorted(later)]
    total = gained[-1][1]
    if total <= 0 or any(count < 0 for _, count in gained):
        return None
    below_bound, below_count = 0.0, 0.0
    for bound, count in gained:
        if count >= share * total:
            if bound == float("inf"):
                return below_bound
            return below_bound + (bound - below_bound) * (share * total - below_count) / (count - below_count)
        below_bound, below_count = bound, count
    return None
