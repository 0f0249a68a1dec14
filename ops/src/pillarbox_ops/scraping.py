"""Reads the /metrics of a service: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from pillarbox_ops.errors import OpsError

_TIMEOUT = urllib3.Timeout(connect=2, read=5)
_MAX_BYTES = 4 * 1024 * 1024


class NotRoutedError(OpsError):
    """There is no /metrics at an address."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric, and its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


class Samples:
    """The samples of one look at a service."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for sample in samples:
            self._samples.setdefault(sample.name, []).append(sample)

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum of a metric's samples with these labels; None if there is none."""
        found = [
            sample.value
            for sample in self._samples.get(name, ())
            if all(sample.labels.get(label) == value for label, value in labels.items())
        ]
        return sum(found) if found else None

    def of(self, name: str) -> list[Sample]:
        """Return all samples of a metric."""
        return list(self._samples.get(name, ()))


def scrape(base_url: str) -> Samples:
    """Return what a service's /metrics says. Raise OpsError if it does not answer so."""
    url = f"{base_url.rstrip('/')}/metrics"
    try:
        with urllib3.PoolManager(retries=False, timeout=_TIMEOUT) as pool:
            response = pool.request("GET", url, preload_content=False)
            text = response.read(_MAX_BYTES).decode()
            response.release_conn()
        if response.status == 404:
            raise NotRoutedError(f"{url} is not there")
        if response.status != 200:
            raise OpsError(f"{url} answers {response.status}")
        return parse_samples(text)
    except urllib3.exceptions.HTTPError as exc:
        raise OpsError(f"{url} does not answer: {type(exc).__name__}") from None
    except ValueError:
        raise OpsError(f"{url} does not answer with metrics") from None


def parse_samples(text: str) -> Samples:
    """Return the samples of a page of metrics. Raise ValueError if it is none."""
    families = text_string_to_metric_families(text)
    return Samples(Sample(s.name, dict(s.labels), s.value) for family in families for s in family.samples)
