"""The figures of a service over time: rates, levels and quantiles of what was read. Pure: no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_WINDOW = 5  # readings between which a rate or a quantile is taken, so that a plot is no comb


@dataclass(frozen=True, slots=True)
class Reading:
    """The figures of a moment (monotonic seconds); None if a service did not answer. `ages` are cumulative buckets."""

    at: float
    accepted: float | None = None
    stored: float | None = None
    waiting: float | None = None
    in_flight: float | None = None
    ages: Mapping[float, float] | None = None


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
