"""The rules as an operator meets them: labels, texts, runbooks, and a test of each alert."""

import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.generate import MONITORING, REPOSITORY
from monitoring.tests.exposed import exposed
from service1_api.aws import _REFUSALS

FILES = (MONITORING / "rules.yaml", MONITORING / "slo.yaml")
RULES = [rule for path in FILES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
PROMTOOL_TESTS = sorted((MONITORING / "tests").glob("*.yaml"))
each_alert = pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)


def anchors(page: Path) -> list[str]:
    """Return the anchors that GitHub gives the headings of a page: those that come again get a number."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for title in re.findall(r"^#{1,6} +(.*?)#* *$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        times = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
        found.append(f"{anchor}-{times}" if times else anchor)
    return found


@functools.cache
def cases() -> list[tuple[str, bool]]:
    """Return the expressions that promtool's tests ask for, each with whether it has samples then."""
    return [
        (case["expr"], bool(case["exp_samples"]))
        for path in PROMTOOL_TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["promql_expr_test"]
    ]


def test_every_alert_has_a_name_of_its_own_in_camel_case() -> None:
    assert len(ALERTS) == len([rule for rule in RULES if "alert" in rule]) > 20
    assert all(re.fullmatch(r"([A-Z][a-z]+)+", name) for name in ALERTS)


@each_alert
def test_an_alert_says_how_grave_it_is_what_is_wrong_and_where_the_runbook_is(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["labels"]["application"] == "pillarbox"
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    for name in ("summary", "description"):
        assert alert["annotations"][name].endswith(".")


@each_alert
def test_an_alert_ends_only_after_some_time_or_waits_before_it_begins(alert: dict[str, Any]) -> None:
    assert alert.get("for") or alert.get("keep_firing_for")


@each_alert
def test_a_runbook_leads_to_a_heading(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchors(REPOSITORY / page).count(anchor) == 1


@each_alert
def test_promtool_tests_an_alert_firing_and_silent(alert: dict[str, Any]) -> None:
    series = f'ALERTS{{alertname="{alert["alert"]}"'
    assert {has_samples for expression, has_samples in cases() if series in expression} == {True, False}


def test_every_alert_of_the_runbook_exists() -> None:
    text = (REPOSITORY / "docs/operations.md").read_text()
    (chapter,) = re.findall(r"^## Alerts\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^### (\w+)$", chapter, re.MULTILINE)) == set(ALERTS)


def test_no_rule_misses_a_series_that_keda_takes_away() -> None:
    assert not [rule for rule in RULES if "absent" in rule["expr"]]


def test_every_metric_of_the_services_is_one_that_they_expose() -> None:
    used = {name for rule in RULES for name in re.findall(r"\bpillarbox_(?:api|consumer)_\w+", rule["expr"])}
    assert used
    assert used <= exposed()


def test_every_recorded_series_that_a_rule_reads_is_recorded() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    read = {name for rule in RULES for name in re.findall(r"\b(?:pillarbox|slo):[\w:]+", rule["expr"])}
    assert read
    assert read <= recorded


def test_e_mails_that_sqs_does_not_accept_are_no_failure_to_publish() -> None:
    (left_out,) = set(re.findall(r'cause!~"\.\*\((.*)\)"', ALERTS["PublishFailures"]["expr"]))
    assert tuple(left_out.split("|")) == _REFUSALS


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("promtool"):
        pytest.fail("promtool is not installed: Debian's package `prometheus` has it")
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.system
def test_prometheus_reads_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, FILES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.system
@pytest.mark.parametrize("path", PROMTOOL_TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
