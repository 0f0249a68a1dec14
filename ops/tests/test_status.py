from datetime import UTC, datetime, timedelta

import pytest

from pillarbox_ops.app import App
from pillarbox_ops.errors import OpsError
from pillarbox_ops.output import Output
from pillarbox_ops.status import QueueState, ServiceState, read_status

from .fake_http import serving
from .pipelines import Pipeline

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
CONSUMER = """# TYPE pillarbox_consumer_age_seconds histogram
pillarbox_consumer_age_seconds_bucket{le="+Inf"} 4
pillarbox_consumer_age_seconds_sum 3
pillarbox_consumer_age_seconds_count 4
"""


@pytest.fixture
def app(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> App:
    for name, value in pipeline.environment.items():
        monkeypatch.setenv(name, value)
    return App(Output("jsonl"))


def test_the_oldest_age_is_the_last_that_cloudwatch_has(app: App, pipeline: Pipeline) -> None:
    cloudwatch = pipeline.client("cloudwatch")
    for minutes, value in ((30, 999.0), (5, 70.0), (2, 90.0)):
        cloudwatch.put_metric_data(
            Namespace="AWS/SQS",
            MetricData=[
                {
                    "MetricName": "ApproximateAgeOfOldestMessage",
                    "Dimensions": [{"Name": "QueueName", "Value": pipeline.queue_url.rpartition("/")[2]}],
                    "Timestamp": NOW - timedelta(minutes=minutes),
                    "Value": value,
                }
            ],
        )
    queue, dead_letters = read_status(app, NOW).queues
    assert queue == QueueState("queue", 0, 0, 0, 90)
    assert dead_letters.oldest_seconds is None


def test_the_lag_is_the_mean_of_what_was_stored(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        server.replies = [(200, CONSUMER.encode(), {})]
        monkeypatch.setenv("FILE_INTAKE_URL", server.url)
        assert read_status(app, NOW).services == [ServiceState("file-intake", {"mean_lag_seconds": 0.75})]


def test_a_gauge_that_is_not_known_yet_is_left_out(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        server.replies = [(200, b"pillarbox_consumer_store_healthy NaN\npillarbox_consumer_in_flight 0\n", {})]
        monkeypatch.setenv("FILE_INTAKE_URL", server.url)
        assert read_status(app, NOW).services == [ServiceState("file-intake", {"in_flight": 0})]


def test_a_target_without_a_bucket_has_no_last_email(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_BUCKET_NAME")
    status = read_status(app, NOW)
    assert (status.last_archived, status.problems) == (None, [])


def test_a_defect_is_not_taken_for_a_problem(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_archive: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pillarbox_ops.status.last_archived", fail)
    with pytest.raises(ZeroDivisionError):
        read_status(app, NOW)


def test_an_archive_that_cannot_be_asked_is_one_line(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_archive: object) -> None:
        raise OpsError("the reason")

    monkeypatch.setattr("pillarbox_ops.status.last_archived", fail)
    status = read_status(app, NOW)
    assert status.problems == ["last archived: the reason"]
    assert status.document(NOW)["problems"] == status.problems
