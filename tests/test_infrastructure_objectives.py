"""The alarms of the objectives, infrastructure/objectives.yaml, which the emulator cannot make (composite alarms)."""

import re
from typing import Any

import pytest
import yaml

from common.testing.emulator import ROOT
from monitoring.objectives import OBJECTIVES, least_events
from tests.test_infrastructure_template import TemplateLoader

# A subclass of SafeLoader, which makes nothing but plain values.
TEMPLATE = yaml.load((ROOT / "infrastructure/objectives.yaml").read_text(), TemplateLoader)  # noqa: S506
RESOURCES: dict[str, dict[str, Any]] = {name: found["Properties"] for name, found in TEMPLATE["Resources"].items()}
COMPOSITE = [n for n, found in TEMPLATE["Resources"].items() if found["Type"] == "AWS::CloudWatch::CompositeAlarm"]
AVAILABILITY, LATENCY = OBJECTIVES
WINDOWS = {"Fast": (14.4, "Hour", "FiveMinutes"), "Slow": (3.0, "Day", "TwoHours")}
SECONDS = {"Hour": 3600, "FiveMinutes": 300, "Day": 86_400, "TwoHours": 7200}


@pytest.mark.parametrize("subject", ["Requests", "Emails"])
@pytest.mark.parametrize("speed", WINDOWS)
def test_an_alarm_needs_its_long_and_its_short_window(subject: str, speed: str) -> None:
    alarm = RESOURCES[f"{subject}Burn{speed}"]
    _, long, short = WINDOWS[speed]
    assert re.findall(r"\$\{(\w+)\}", alarm["AlarmRule"]["Sub"]) == [f"{subject}{long}", f"{subject}{short}"]
    assert " AND " in alarm["AlarmRule"]["Sub"]
    assert alarm["AlarmActions"] == alarm["OKActions"]


def test_only_the_alarms_as_a_whole_notify_anybody() -> None:
    assert len(COMPOSITE) == 4
    assert {name for name, properties in RESOURCES.items() if "AlarmActions" in properties} == set(COMPOSITE)


@pytest.mark.parametrize("speed", WINDOWS)
def test_the_share_of_5xx_is_compared_with_the_budget_times_the_factor(speed: str) -> None:
    factor, *windows = WINDOWS[speed]
    for window, least in zip(windows, (least_events(AVAILABILITY, factor), 0), strict=True):
        alarm = RESOURCES[f"Requests{window}"]
        assert alarm["Threshold"] == pytest.approx(factor * AVAILABILITY.budget)
        assert alarm["EvaluationPeriods"] == 1
        expressions = {metric["Id"]: metric["Expression"] for metric in alarm["Metrics"] if "Expression" in metric}
        assert expressions["ratio"] == f"IF(all > {least}, bad / all, 0)"
        stats = {metric["Id"]: metric["MetricStat"] for metric in alarm["Metrics"] if "MetricStat" in metric}
        assert {stat["Period"] for stat in stats.values()} == {SECONDS[window]}
        assert {name: stat["Metric"]["MetricName"] for name, stat in stats.items()} == {
            "good": "HTTPCode_Target_2XX_Count",
            "api": "HTTPCode_Target_5XX_Count",
            "balancer": "HTTPCode_ELB_5XX_Count",
        }
        returned = [metric["Id"] for metric in alarm["Metrics"] if metric.get("ReturnData", True)]
        assert returned == ["ratio"]


@pytest.mark.parametrize("speed", WINDOWS)
def test_the_share_of_late_minutes_is_compared_with_the_budget_times_the_factor(speed: str) -> None:
    factor, *windows = WINDOWS[speed]
    for window in windows:
        alarm = RESOURCES[f"Emails{window}"]
        assert alarm["Threshold"] == 60
        assert alarm["Period"] * alarm["EvaluationPeriods"] == SECONDS[window]
        least = factor * LATENCY.budget * alarm["EvaluationPeriods"]
        assert alarm["DatapointsToAlarm"] == max(1, -(-least // 1))


def test_a_window_is_at_most_a_day_so_that_cloudwatch_looks_each_minute() -> None:
    assert max(SECONDS.values()) == 86_400
