"""The objectives, and the rules that follow from them: error ratios, budgets and burn alerts (slo.yaml).

The windows and factors are those of the Google SRE workbook, "Alerting on SLOs", 6: multiple windows, multiple burn
rates; the names of the series are those of Sloth (https://sloth.dev), so that dashboards made for it work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Rule = dict[str, Any]

PERIOD_DAYS = 30
INTERVAL_SECONDS = 30
_COUNTED_SECONDS = 300  # what the series named increase5m count
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
# (factor, long window, short window): the alert ends soon after the errors do, by the short one.
_FAST = ((14.4, "1h", "5m"), (6.0, "6h", "30m"))
_SLOW = ((3.0, "1d", "2h"), (1.0, "3d", "6h"))


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of events that must be good; `total` and `bad` are series that count events of the last five minutes."""

    name: str
    alert: str
    ratio: float
    total: str
    bad: str
    summary: str

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.ratio, 9)

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which Sloth's dashboards find an objective."""
        return {"sloth_id": f"pillarbox-{self.name}", "sloth_service": "pillarbox", "sloth_slo": self.name}

    @property
    def selector(self) -> str:
        """The matcher of this objective's series."""
        return f'{{sloth_id="{self.labels["sloth_id"]}"}}'


OBJECTIVES = (
    Objective(
        "api-availability",
        "ApiErrorBudget",
        0.999,
        "pillarbox:api_requests:increase5m",
        "pillarbox:api_failures:increase5m",
        "valid requests answered with 5xx",
    ),
    Objective(
        "archive-latency",
        "ArchiveErrorBudget",
        0.99,
        'sum by (namespace, environment) (pillarbox:stored:increase5m{container="service2-consumer"})',
        "pillarbox:stored_late:increase5m",
        "e-mails archived later than 60 s after they were accepted",
    ),
)


def document() -> dict[str, Any]:
    """Return what slo.yaml holds."""
    late = 'pillarbox:stored_by_age:increase5m{container="service2-consumer",le="60.0"}'
    stored = 'pillarbox:stored:increase5m{container="service2-consumer"}'
    counts: list[Rule] = [
        {
            "record": "pillarbox:stored_late:increase5m",
            "expr": f"sum by (namespace, environment) ({stored} - ignoring (le) {late})",
        }
    ]
    for objective in OBJECTIVES:
        counts += [
            _recorded(objective, "slo:sli_total:increase5m", objective.total),
            _recorded(objective, "slo:sli_bad:increase5m", objective.bad),
        ]
    groups: list[Rule] = [{"name": "pillarbox-slo-counts", "interval": f"{INTERVAL_SECONDS}s", "rules": counts}]
    groups += [
        {
            "name": f"pillarbox-slo-{objective.name}",
            "interval": f"{INTERVAL_SECONDS}s",
            "rules": [*_ratios(objective), *_totals(objective), *_budget(objective), *_alerts(objective)],
        }
        for objective in OBJECTIVES
    ]
    return {"groups": groups}


def least_events(objective: Objective, factor: float) -> int:
    """Return the number of events below which less than two bad ones would raise the alert."""
    return int(2 / (factor * objective.budget))


def _recorded(objective: Objective, name: str, expr: str, **labels: str) -> Rule:
    return {"record": name, "expr": expr, "labels": objective.labels | labels}


def _ratios(objective: Objective) -> Iterator[Rule]:
    """Yield the error ratio of each window: every event weighs the same, and without events there is no sample."""
    total, bad = f"slo:sli_total:increase5m{objective.selector}", f"slo:sli_bad:increase5m{objective.selector}"
    for window in _WINDOWS:
        if window == "5m":
            expr = f"{bad} / ({total} > 0)"
        else:
            expr = f"sum_over_time({bad}[{window}]) / (sum_over_time({total}[{window}]) > 0)"
        yield _recorded(objective, f"slo:sli_error:ratio_rate{window}", expr, sloth_window=window)


def _totals(objective: Objective) -> Iterator[Rule]:
    """Yield the number of events in each long window: each of them is in ten samples that follow one another."""
    samples = _COUNTED_SECONDS // INTERVAL_SECONDS
    for _, window, _ in (*_FAST, *_SLOW):
        expr = f"sum_over_time(slo:sli_total:increase5m{objective.selector}[{window}]) / {samples}"
        yield _recorded(objective, f"slo:sli_total:increase{window}", expr, sloth_window=window)


def _budget(objective: Objective) -> Iterator[Rule]:
    yield _recorded(objective, "slo:objective:ratio", f"vector({objective.ratio})")
    yield _recorded(objective, "slo:error_budget:ratio", f"vector(1 - {objective.ratio})")
    yield _recorded(objective, "slo:time_period:days", f"vector({PERIOD_DAYS})")
    for name, window in (("slo:current_burn_rate:ratio", "5m"), ("slo:period_burn_rate:ratio", f"{PERIOD_DAYS}d")):
        ratio = f"slo:sli_error:ratio_rate{window}{objective.selector}"
        on = "on (sloth_id, sloth_slo, sloth_service) group_left"
        yield _recorded(objective, name, f"{ratio} / {on} slo:error_budget:ratio{objective.selector}")
    remaining = f"1 - slo:period_burn_rate:ratio{objective.selector}"
    yield _recorded(objective, "slo:period_error_budget_remaining:ratio", remaining)


def _alerts(objective: Objective) -> Iterator[Rule]:
    days = {"Fast": "within days, at this rate", "Slow": "before the period ends"}
    for speed, burns, severity in (("Fast", _FAST, "critical"), ("Slow", _SLOW, "warning")):
        name = f"{objective.alert}Burn{speed}"
        yield {
            "alert": name,
            "expr": "\nor\n".join(_burning(objective, *burn) for burn in burns),
            "keep_firing_for": "5m",
            "labels": objective.labels | {"severity": severity, "application": "pillarbox"},
            "annotations": {
                "summary": f"Too many {objective.summary}.",
                "description": f"{{{{ $value | humanizePercentage }}}} are {objective.summary}. The error budget of "
                f"{PERIOD_DAYS} days is used up {days[speed]}.",
                "runbook_url": f"docs/operations.md#{name.lower()}",
            },
        }


def _burning(objective: Objective, factor: float, long: str, short: str) -> str:
    bound = f"({factor} * {objective.budget})"

    def series(name: str) -> str:
        return f"{name}{objective.selector}"

    parts = (
        f"max without (sloth_window) ({series(f'slo:sli_error:ratio_rate{long}')} > {bound})",
        f"max without (sloth_window) ({series(f'slo:sli_error:ratio_rate{short}')} > {bound})",
        f"max without (sloth_window) ({series(f'slo:sli_total:increase{long}')} >= {least_events(objective, factor)})",
    )
    return "(\n  {}\n  and\n  {}\n  and\n  {}\n)".format(*parts)
