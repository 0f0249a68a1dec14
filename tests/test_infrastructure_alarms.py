"""The alarms of the API that the emulator creates from infrastructure/alarms.yaml."""

import json
import re
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from common.testing.emulator import ACCOUNT_ID, REGION, ROOT, running_emulator
from service1_api.problems import PROBLEMS
from tests.deploy.cloud import Cloud

LOAD_BALANCER = "app/k8s-pillarbo-service1-0123456789/0123456789abcdef"
TARGET_GROUP = "targetgroup/k8s-pillarbo-service1-abcdef0123/fedcba9876543210"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:operators"
LOG_GROUP = "/aws/containerinsights/pillarbox-dev/application"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT_ID}:certificate/11111111-2222-3333-4444-555555555555"
WATCHED = {"EnvironmentName": "dev", "LoadBalancerFullName": LOAD_BALANCER, "TargetGroupFullName": TARGET_GROUP}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        made = Cloud(environment)
        made.client("logs").create_log_group(logGroupName=LOG_GROUP)
        extra = {"Dashboard": "yes", "CertificateArn": CERTIFICATE, "LatencyAlarmSeconds": "3.5"}
        notified = {"AlarmTopicArn": TOPIC_ARN}
        made.deploy("dev-alarms", "alarms.yaml", ApiLogGroupName=LOG_GROUP, **notified, **WATCHED)
        made.deploy("full-alarms", "alarms.yaml", **notified, **extra, **WATCHED | {"EnvironmentName": "full"})
        made.deploy("qa-alarms", "alarms.yaml", **WATCHED | {"EnvironmentName": "qa"})
        yield made


def test_each_way_in_which_the_api_can_be_out_has_an_alarm(cloud: Cloud) -> None:
    seen = {name: (alarm["MetricName"], alarm["Threshold"]) for name, alarm in cloud.alarms("pillarbox-dev-").items()}
    assert seen == {
        "pillarbox-dev-load-balancer-5xx": ("HTTPCode_ELB_5XX_Count", 5),
        "pillarbox-dev-api-5xx": ("HTTPCode_Target_5XX_Count", 5),
        "pillarbox-dev-unhealthy-targets": ("UnHealthyHostCount", 0),
        "pillarbox-dev-no-healthy-target": ("HealthyHostCount", 1),
        "pillarbox-dev-latency": ("TargetResponseTime", 2),
        "pillarbox-dev-publish-failures": ("dev-api-publish-failures", 5),
    }


def test_the_alarms_watch_the_load_balancer_and_the_target_group_given(cloud: Cloud) -> None:
    for name, alarm in cloud.alarms("pillarbox-dev-").items():
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm.get("Dimensions", [])}
        if alarm["Namespace"] == "AWS/ApplicationELB":
            assert dimensions.pop("LoadBalancer") == LOAD_BALANCER, name
            assert set(dimensions.values()) <= {TARGET_GROUP}, name


def test_each_alarm_notifies_the_topic_of_its_start_and_its_end(cloud: Cloud) -> None:
    for name, alarm in cloud.alarms("pillarbox-dev-").items():
        assert (alarm["AlarmActions"], alarm["OKActions"]) == ([TOPIC_ARN], [TOPIC_ARN]), name


def test_without_a_topic_the_alarms_only_show(cloud: Cloud) -> None:
    alarms = cloud.alarms("pillarbox-qa-")
    assert [alarm for alarm in alarms.values() if alarm["AlarmActions"] or alarm["OKActions"]] == []


def test_without_a_log_group_there_is_no_alarm_of_failed_publishing(cloud: Cloud) -> None:
    assert len(cloud.alarms("pillarbox-qa-")) == len(cloud.alarms("pillarbox-dev-")) - 1
    assert "pillarbox-qa-publish-failures" not in cloud.alarms("pillarbox-qa-")


def test_a_target_group_that_reports_nothing_is_an_outage_and_nothing_else_is(cloud: Cloud) -> None:
    breaching = [n for n, alarm in cloud.alarms("pillarbox-dev-").items() if alarm["TreatMissingData"] == "breaching"]
    assert breaching == ["pillarbox-dev-no-healthy-target"]


def test_the_latency_is_that_of_the_slowest_request_in_a_hundred(cloud: Cloud) -> None:
    assert cloud.alarms("pillarbox-dev-latency")["pillarbox-dev-latency"]["ExtendedStatistic"] == "p99"


def test_with_a_certificate_three_weeks_before_its_end_there_is_an_alarm(cloud: Cloud) -> None:
    assert "pillarbox-dev-certificate" not in cloud.alarms("pillarbox-dev-")
    alarm = cloud.alarms("pillarbox-full-")["pillarbox-full-certificate"]
    assert (alarm["MetricName"], alarm["Threshold"], alarm["AlarmActions"]) == ("DaysToExpiry", 21, [TOPIC_ARN])
    assert alarm["Dimensions"] == [{"Name": "CertificateArn", "Value": CERTIFICATE}]


def test_the_dashboard_is_made_on_request_and_shows_what_the_stacks_made(cloud: Cloud) -> None:
    cloudwatch = cloud.client("cloudwatch")
    assert [entry["DashboardName"] for entry in cloudwatch.list_dashboards()["DashboardEntries"]] == ["pillarbox-full"]
    widgets = json.loads(cloudwatch.get_dashboard(DashboardName="pillarbox-full")["DashboardBody"])["widgets"]
    shown = [metric for widget in widgets for metric in widget["properties"]["metrics"] if isinstance(metric[0], str)]
    assert {metric[0] for metric in shown} == {"AWS/ApplicationELB", "AWS/SQS"}
    for metric in shown:
        dimensions = dict(zip(metric[2:-1:2], metric[3:-1:2], strict=True))
        assert dimensions.pop("LoadBalancer", LOAD_BALANCER) == LOAD_BALANCER
        assert dimensions.pop("TargetGroup", TARGET_GROUP) == TARGET_GROUP
        queues = {"emails", "emails-dlq", "files", "files-dlq"}
        assert dimensions.pop("QueueName", "pillarbox-full-emails") in {f"pillarbox-full-{name}" for name in queues}
        assert not dimensions
    template = (ROOT / "infrastructure/pipeline.yaml").read_text()
    for name in ("emails", "emails-dlq", "files", "files-dlq"):
        assert f"QueueName: !Sub ${{AWS::StackName}}-{name}\n" in template
    places = [(w["x"] + x, w["y"] + y) for w in widgets for x in range(w["width"]) for y in range(w["height"])]
    assert len(places) == len(set(places))
    lines = [line["value"] for w in widgets for line in w["properties"].get("annotations", {}).get("horizontal", [])]
    assert lines == [0.1, 3.5, 60]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("LoadBalancerFullName", f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT_ID}:loadbalancer/{LOAD_BALANCER}"),
        ("LoadBalancerFullName", "net/a/0123456789abcdef"),
        ("TargetGroupFullName", ""),
    ],
)
def test_a_name_that_would_watch_nothing_is_refused(cloud: Cloud, parameter: str, value: str) -> None:
    with pytest.raises(ClientError, match=parameter):
        cloud.deploy("wrong-alarms", "alarms.yaml", **WATCHED | {parameter: value})


# ---- failed publishing, counted in the log ---------------------------------------------------------------------------


def pattern(cloud: Cloud) -> str:
    (found,) = cloud.client("logs").describe_metric_filters(logGroupName=LOG_GROUP)["metricFilters"]
    text: str = found["filterPattern"]
    return text


def test_the_filter_counts_lines_that_the_api_writes(cloud: Cloud) -> None:
    sources = "".join(
        path.read_text()
        for folder in ("service1-api/src", "common/src")
        for path in sorted((ROOT / folder).rglob("*.py"))
    )
    fields = dict.fromkeys(re.findall(r"log_processed\.(\w+) =", pattern(cloud)))
    assert list(fields) == ["service", "event", "code"]
    events = re.findall(r'event = ("[^"]+")', pattern(cloud))
    assert events
    for event in events:
        assert event in sources
    (code,) = re.findall(r'code = "([^"]+)"', pattern(cloud))
    assert code in PROBLEMS


def test_the_metric_of_the_filter_is_the_one_that_the_alarm_watches(cloud: Cloud) -> None:
    (found,) = cloud.client("logs").describe_metric_filters(logGroupName=LOG_GROUP)["metricFilters"]
    (made,) = found["metricTransformations"]
    alarm = cloud.alarms("pillarbox-dev-publish")["pillarbox-dev-publish-failures"]
    assert (made["metricNamespace"], made["metricName"]) == (alarm["Namespace"], alarm["MetricName"])
    assert json.loads(made["metricValue"]) == 1
