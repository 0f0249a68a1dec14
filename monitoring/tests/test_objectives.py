"""The rules that follow from the objectives; monitoring/tests/slo.yaml has what they compute."""

import re

import pytest

from monitoring.objectives import OBJECTIVES, Objective, document, least_events

RULES = [rule for group in document()["groups"] for rule in group["rules"]]
# https://sloth.dev: the names that its dashboards read
SLOTH = {
    *(f"slo:sli_error:ratio_rate{window}" for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")),
    *("slo:objective:ratio", "slo:error_budget:ratio", "slo:time_period:days"),
    *("slo:current_burn_rate:ratio", "slo:period_burn_rate:ratio", "slo:period_error_budget_remaining:ratio"),
}


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
def test_each_objective_has_all_series_that_dashboards_for_sloth_read(objective: Objective) -> None:
    own = [rule for rule in RULES if rule.get("labels", {}).get("sloth_slo") == objective.name]
    recorded = [rule["record"] for rule in own if "record" in rule]
    assert len(recorded) == len(set(recorded))
    assert set(recorded) > SLOTH
    for rule in own:
        assert rule["labels"]["sloth_id"] == f"pillarbox-{objective.name}"


def test_the_objectives_are_those_that_were_agreed() -> None:
    assert [(objective.name, objective.ratio, objective.budget) for objective in OBJECTIVES] == [
        ("api-availability", 0.999, 0.001),
        ("archive-latency", 0.99, 0.01),
    ]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
@pytest.mark.parametrize(
    ("speed", "severity", "windows"),
    [
        ("Fast", "critical", [("14.4", "1h", "5m"), ("6.0", "6h", "30m")]),
        ("Slow", "warning", [("3.0", "1d", "2h"), ("1.0", "3d", "6h")]),
    ],
)
def test_a_burn_alert_compares_a_long_and_a_short_window_by_their_factor(
    objective: Objective, speed: str, severity: str, windows: list[tuple[str, str, str]]
) -> None:
    (alert,) = (rule for rule in RULES if rule.get("alert") == f"{objective.alert}Burn{speed}")
    assert alert["labels"]["severity"] == severity
    compared = re.findall(r"ratio_rate(\w+)\{[^}]*\} > \(([\d.]+) \* ([\d.]+)\)", alert["expr"])
    assert compared == [(window, factor, str(objective.budget)) for factor, *both in windows for window in both]
    assert set(re.findall(r'sloth_id="([^"]+)"', alert["expr"])) == {f"pillarbox-{objective.name}"}


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
@pytest.mark.parametrize("factor", [14.4, 6, 3, 1])
def test_one_bad_event_among_the_fewest_that_count_is_no_alert(objective: Objective, factor: float) -> None:
    assert 1 / least_events(objective, factor) < factor * objective.budget
