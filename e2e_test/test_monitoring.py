"""The rules and dashboards on a real Prometheus that watches the pipeline under load, and while AWS is gone."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common.testing.ports import free_port
from common.testing.waiting import eventually
from e2e_test.cluster_metrics import served_on
from e2e_test.conftest import EMAIL, Pipeline
from e2e_test.prometheus_api import prometheus_api
from e2e_test.watched_pipeline import GROUPS, Watched, quick_rules, send_load
from local_stack.prometheus import REPOSITORY, SERVICES, configuration, new_prometheus

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDED = sorted({rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule})
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((REPOSITORY / "monitoring/dashboards").iterdir())}
PANELS = [
    (f"{name}: {panel['title']}", target["expr"])
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", [])
]
SELECTOR = re.compile(r"(?<![\w:])((?:pillarbox|slo|kube|container|keda|probe|process)[_:][\w:]+|up)(\{[^}]*\})?")
OF_THE_OUTAGE = {
    ("QueueUnavailable", "service2-consumer"),
    ("QueueUnavailable", "file-intake"),
    ("PublishFailures", ""),
}
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$namespace": ".*", "$environment": ".*"}


@pytest.fixture(scope="module")
def watched(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("prometheus")
    options, port, exporter = pipeline.stack.options, free_port(), free_port()
    services = dict(zip(SERVICES, (options.api_port, options.consumer_port, options.file_intake_port), strict=True))
    others = {"cluster": exporter}
    configured = configuration(services, rules=quick_rules(directory), scrape_seconds=1, others=others)
    prometheus = new_prometheus(directory, port, configured)
    since = time.time()
    with served_on(exporter):
        prometheus.start()
        try:
            prometheus.wait_ready(60)
            run = Watched(pipeline, f"http://127.0.0.1:{port}", since)
            eventually(lambda: len(run.query("up == 1")) == len(services) + 1, "every target is scraped")
            send_load(pipeline)
            yield run
        finally:
            prometheus.stop(20)
            for key in pipeline.keys("conflicts/"):  # other tests expect none
                pipeline.s3.delete_object(Bucket=pipeline.bucket, Key=key)


@pytest.fixture(scope="module")
def outage(watched: Watched) -> Watched:
    """The same after AWS was gone for as long as it took the alerts to fire, and has come back."""
    assert not watched.names_firing() & OF_THE_OUTAGE
    watched.pipeline.stack.emulator.stop(20)
    try:
        with ThreadPoolExecutor(8) as threads:

            def alerted() -> bool:
                statuses = {answer.status for answer in threads.map(lambda _: watched.pipeline.post(EMAIL), range(8))}
                assert statuses == {503}
                return watched.names_firing() >= OF_THE_OUTAGE

            eventually(alerted, "the alerts of the outage fire", 180)
        for alert in watched.firing():
            texts = alert["annotations"]
            assert set(texts) == {"summary", "description", "runbook_url"}
            assert not [text for text in texts.values() if "<no value>" in text or "{{" in text or "error" in text]
    finally:
        watched.pipeline.stack.emulator.start()
        watched.pipeline.stack.emulator.wait_ready(60)
    return watched


def test_every_rule_is_evaluated_without_an_error(watched: Watched) -> None:
    def evaluated() -> bool:
        rules = [rule for group in prometheus_api(watched.url, "rules")["groups"] for rule in group["rules"]]
        assert not [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")]
        return len(rules) == sum(len(group["rules"]) for group in GROUPS) and all(r["health"] == "ok" for r in rules)

    eventually(evaluated, "every rule is evaluated")


@pytest.mark.parametrize("name", RECORDED)
def test_every_recording_rule_gives_data(watched: Watched, name: str) -> None:
    eventually(lambda: watched.query(name), f"{name} has a sample")


def test_after_an_outage_of_aws_that_raised_its_alerts_everything_works_again(outage: Watched) -> None:
    eventually(lambda: outage.pipeline.post(EMAIL).status == 200, "the API accepts e-mails again")
    receiving = 'sum by (container) (increase(pillarbox_consumer_polls_total{outcome!="error"}[10s])) > 0'
    eventually(lambda: len(outage.query(receiving)) == 2, "both consumers receive again")
    # The window of the alert is 5 minutes: what ends at once is the failing itself.
    failing = 'sum(increase(pillarbox_consumer_polls_total{outcome="error"}[10s])) == 0'
    eventually(lambda: outage.query(failing), "no receive fails")


def test_the_dead_letters_of_both_queues_are_counted(watched: Watched) -> None:
    def counted() -> bool:
        samples = watched.query("pillarbox_consumer_dead_letters > 0")
        return {sample["metric"]["container"] for sample in samples} == {"service2-consumer", "file-intake"}

    eventually(counted, "both consumers see their dead letters", 180)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_what_an_alert_compares_is_there(outage: Watched, alert: dict[str, Any]) -> None:
    selectors = {"".join(match) for match in SELECTOR.findall(alert["expr"])}
    assert selectors
    for selector in selectors:
        assert outage.series(selector), selector


@pytest.mark.parametrize("expression", [pytest.param(expression, id=name) for name, expression in PANELS])
def test_every_query_of_a_panel_gives_data(outage: Watched, expression: str) -> None:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    eventually(lambda: outage.query(expression), expression)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_variables_and_the_deployments_of_a_dashboard_give_data(outage: Watched, board: dict[str, Any]) -> None:
    (deployments,) = board["annotations"]["list"]
    assert outage.query(deployments["expr"].replace("$namespace", ".*"))
    asked = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    for selector, label in (re.fullmatch(r"label_values\((.*), (\w+)\)", text).groups() for text in asked):  # type: ignore[union-attr]
        assert {series[label] for series in outage.series(selector)}
