"""The stack of one environment that the emulator creates from infrastructure/pipeline.yaml."""

import json
from collections.abc import Iterator

import pytest
import yaml
from botocore.exceptions import ClientError

from common.testing.emulator import ACCOUNT_ID, REGION, ROOT, running_emulator
from tests.deploy.cloud import Cloud
from tests.test_infrastructure_template import TemplateLoader

STACK = "pillarbox-test"
PROVIDER_ARN = f"arn:aws:iam::{ACCOUNT_ID}:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
BUCKET_ARN = f"arn:aws:s3:::{STACK}-archive-{ACCOUNT_ID}-{REGION}"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy(STACK, OidcProviderArn=PROVIDER_ARN)


def test_a_second_deployment_changes_nothing(cloud: Cloud, outputs: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cloud.cloudformation.update_stack(
            StackName=STACK,
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": "OidcProviderArn", "UsePreviousValue": True}],
        )


def test_the_queue_hides_for_300_s_keeps_for_10_days_and_gives_up_after_10_receives(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    sqs = cloud.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "300"
    assert attributes["MessageRetentionPeriod"] == str(10 * 24 * 3600)
    assert attributes["SqsManagedSseEnabled"] == "true"
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == outputs["DeadLetterQueueArn"]
    assert int(redrive["maxReceiveCount"]) == 10


def test_a_message_stays_longer_in_the_dead_letter_queue_than_in_the_queue(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    url = outputs["DeadLetterQueueUrl"]
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    kept = int(attributes["MessageRetentionPeriod"])
    template = yaml.load((ROOT / "infrastructure/pipeline.yaml").read_text(), TemplateLoader)  # noqa: S506  # plain values
    longest = template["Parameters"]["QueueRetentionSeconds"]["MaxValue"]
    assert kept == 14 * 24 * 3600
    assert longest <= kept - 24 * 3600, "a day at least to look at a message that waited as long as it may"


@pytest.mark.parametrize("seconds", ["3599", "1209600"])
def test_a_retention_that_leaves_no_time_is_refused(cloud: Cloud, seconds: str) -> None:
    with pytest.raises(ClientError, match="QueueRetentionSeconds"):
        cloud.deploy("pillarbox-retention", QueueRetentionSeconds=seconds)


def test_cost_tags_of_the_stack_reach_what_it_makes(cloud: Cloud) -> None:
    outputs = cloud.deploy_tagged("pillarbox-tags", {"CostCentre": "mail"})
    (description,) = cloud.cloudformation.describe_stacks(StackName="pillarbox-tags")["Stacks"]
    assert description["Tags"] == [{"Key": "CostCentre", "Value": "mail"}]
    queue = cloud.client("sqs").list_queue_tags(QueueUrl=outputs["QueueUrl"])["Tags"]
    assert queue["CostCentre"] == "mail"


def test_only_the_queue_may_use_its_dead_letter_queue(cloud: Cloud, outputs: dict[str, str]) -> None:
    url = outputs["DeadLetterQueueUrl"]
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    allowed = json.loads(attributes["RedriveAllowPolicy"])
    assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [outputs["QueueArn"]]}


@pytest.mark.parametrize("output", ["QueueUrl", "DeadLetterQueueUrl"])
def test_a_queue_refuses_what_comes_without_tls(cloud: Cloud, outputs: dict[str, str], output: str) -> None:
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=outputs[output], AttributeNames=["Policy"])
    (statement,) = json.loads(attributes["Attributes"]["Policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "sqs:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_bucket_is_versioned_private_and_tls_only(cloud: Cloud, outputs: dict[str, str]) -> None:
    s3, bucket = cloud.client("s3"), outputs["BucketName"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Resource"] == [BUCKET_ARN, f"{BUCKET_ARN}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_each_alarm_watches_a_metric_of_its_queue(cloud: Cloud, outputs: dict[str, str]) -> None:
    seen = {
        name: (alarm["MetricName"], alarm["Dimensions"][0]["Value"], alarm["Threshold"])
        for name, alarm in cloud.alarms(f"{STACK}-").items()
        if "-files-" not in name
    }
    assert seen == {
        f"{STACK}-oldest-message": ("ApproximateAgeOfOldestMessage", f"{STACK}-emails", 900),
        f"{STACK}-dead-letters": ("ApproximateNumberOfMessagesVisible", f"{STACK}-emails-dlq", 0),
        f"{STACK}-queue-depth": ("ApproximateNumberOfMessagesVisible", f"{STACK}-emails", 10_000),
        f"{STACK}-in-flight": ("ApproximateNumberOfMessagesNotVisible", f"{STACK}-emails", 96_000),
    }


def test_the_depth_of_the_queue_alarms_only_when_it_stays(cloud: Cloud, outputs: dict[str, str]) -> None:
    alarm = cloud.alarms(f"{STACK}-queue-depth")[f"{STACK}-queue-depth"]
    assert (alarm["Statistic"], alarm["Period"] * alarm["EvaluationPeriods"]) == ("Minimum", 15 * 60)
