"""The stack of one environment as the emulator makes it from infrastructure/pipeline.yaml."""

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.deploy.cloud import Cloud
from tests.deploy.emulator import ACCOUNT_ID, REGION, running_emulator

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


def test_the_queue_hides_for_300_s_keeps_for_14_days_and_gives_up_after_10_receives(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    sqs = cloud.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "300"
    assert attributes["MessageRetentionPeriod"] == str(14 * 24 * 3600)
    assert attributes["SqsManagedSseEnabled"] == "true"
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == outputs["DeadLetterQueueArn"]
    assert int(redrive["maxReceiveCount"]) == 10


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
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{STACK}-")["MetricAlarms"]
    seen = {
        alarm["AlarmName"]: (alarm["MetricName"], alarm["Dimensions"][0]["Value"], alarm["Threshold"])
        for alarm in alarms
    }
    assert seen == {
        f"{STACK}-oldest-message": ("ApproximateAgeOfOldestMessage", f"{STACK}-emails", 900),
        f"{STACK}-dead-letters": ("ApproximateNumberOfMessagesVisible", f"{STACK}-emails-dlq", 0),
        f"{STACK}-in-flight": ("ApproximateNumberOfMessagesNotVisible", f"{STACK}-emails", 96_000),
    }
