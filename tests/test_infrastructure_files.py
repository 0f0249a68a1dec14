"""The file intake that the emulator creates from infrastructure/pipeline.yaml: inbox, events and queue."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from common.testing.emulator import ACCOUNT_ID, REGION, running_emulator
from common.testing.waiting import eventually
from tests.deploy.cloud import Cloud
from tests.test_infrastructure_template import resources

STACK = "pillarbox-test"
INBOX = f"{STACK}-inbox-{ACCOUNT_ID}-{REGION}"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{STACK}-files"
NAMES = {"FilesQueueUrl", "FilesQueueArn", "FilesDeadLetterQueueUrl", "FilesDeadLetterQueueArn"}
NAMES |= {"FilesVisibilitySeconds", "InboxBucketName", "InboxPrefix", "FileIntakePolicyArn"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy(STACK)


def attributes(cloud: Cloud, url: str) -> dict[str, str]:
    found: dict[str, str] = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return found


def policy(cloud: Cloud, url: str) -> dict[str, Any]:
    """Return the statements of a queue's policy by their Sid."""
    return {statement["Sid"]: statement for statement in json.loads(attributes(cloud, url)["Policy"])["Statement"]}


def bucket_policy(cloud: Cloud, bucket: str) -> dict[str, Any]:
    text = cloud.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    return {statement["Sid"]: statement for statement in json.loads(text)["Statement"]}


def events(cloud: Cloud, outputs: dict[str, str], *keys: str) -> list[dict[str, Any]]:
    """Put objects into the inbox; return the events in the queue, without the test event."""
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    found: list[dict[str, Any]] = []
    for key in keys:
        s3.put_object(Bucket=outputs["InboxBucketName"], Key=key, Body=b"Subject: x\n\nx")

    def received() -> bool:
        reply = sqs.receive_message(QueueUrl=outputs["FilesQueueUrl"], MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = [json.loads(message["Body"]) for message in reply.get("Messages", [])]
        found.extend(message for message in messages if message.get("Event") != "s3:TestEvent")
        return bool(found)

    eventually(received, "an event reaches the queue")
    return found


# ---- queues ----------------------------------------------------------------------------------------------------------


def test_the_files_queue_hides_for_300_s_keeps_for_10_days_and_gives_up_after_3_receives(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    found = attributes(cloud, outputs["FilesQueueUrl"])
    assert (found["VisibilityTimeout"], outputs["FilesVisibilitySeconds"]) == ("300", "300")
    assert found["MessageRetentionPeriod"] == str(10 * 24 * 3600)
    assert found["SqsManagedSseEnabled"] == "true"
    redrive = json.loads(found["RedrivePolicy"])
    assert (redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])) == (outputs["FilesDeadLetterQueueArn"], 3)


def test_retention_and_visibility_are_parameters_of_their_own(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-times", FilesRetentionSeconds="7200", FilesVisibilitySeconds="60")
    files, emails = attributes(cloud, outputs["FilesQueueUrl"]), attributes(cloud, outputs["QueueUrl"])
    assert (files["MessageRetentionPeriod"], files["VisibilityTimeout"]) == ("7200", "60")
    assert (emails["MessageRetentionPeriod"], emails["VisibilityTimeout"]) == ("864000", "300")


def test_only_the_files_queue_may_use_its_dead_letter_queue_which_keeps_longest(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    found = attributes(cloud, outputs["FilesDeadLetterQueueUrl"])
    allowed = json.loads(found["RedriveAllowPolicy"])
    assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [outputs["FilesQueueArn"]]}
    assert found["MessageRetentionPeriod"] == str(14 * 24 * 3600)


@pytest.mark.parametrize("output", ["FilesQueueUrl", "FilesDeadLetterQueueUrl"])
def test_a_queue_of_files_refuses_what_comes_without_tls(cloud: Cloud, outputs: dict[str, str], output: str) -> None:
    statement = policy(cloud, outputs[output])["TlsOnly"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "sqs:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def may_send(service: str, condition: dict[str, Any], queue_arn: str = QUEUE_ARN) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": condition,
    }


def from_bucket(name: str) -> dict[str, Any]:
    return {
        "StringEquals": {"aws:SourceAccount": ACCOUNT_ID},
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{name}"},
    }


def test_only_the_inbox_of_this_account_may_send_events(cloud: Cloud, outputs: dict[str, str]) -> None:
    statements = policy(cloud, outputs["FilesQueueUrl"])
    assert set(statements) == {"TlsOnly", "EventsOfTheInbox"}
    expected = may_send("s3.amazonaws.com", from_bucket(INBOX))
    assert statements["EventsOfTheInbox"] == {"Sid": "EventsOfTheInbox"} | expected


def test_the_dead_letter_queue_takes_events_of_nobody(cloud: Cloud, outputs: dict[str, str]) -> None:
    assert set(policy(cloud, outputs["FilesDeadLetterQueueUrl"])) == {"TlsOnly"}


def test_each_alarm_of_files_watches_a_queue_of_files(cloud: Cloud, outputs: dict[str, str]) -> None:
    seen = {
        name: (alarm["MetricName"], alarm["Dimensions"][0]["Value"], alarm["Threshold"], alarm["Statistic"])
        for name, alarm in cloud.alarms(f"{STACK}-files-").items()
    }
    visible = "ApproximateNumberOfMessagesVisible"
    assert seen == {
        f"{STACK}-files-oldest-message": ("ApproximateAgeOfOldestMessage", f"{STACK}-files", 900, "Maximum"),
        f"{STACK}-files-dead-letters": (visible, f"{STACK}-files-dlq", 0, "Maximum"),
        f"{STACK}-files-queue-depth": (visible, f"{STACK}-files", 10_000, "Minimum"),
        f"{STACK}-files-in-flight": ("ApproximateNumberOfMessagesNotVisible", f"{STACK}-files", 96_000, "Maximum"),
    }


# ---- inbox -----------------------------------------------------------------------------------------------------------


def test_the_inbox_is_versioned_private_and_tls_only(cloud: Cloud, outputs: dict[str, str]) -> None:
    s3, bucket = cloud.client("s3"), outputs["InboxBucketName"]
    assert bucket == INBOX
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    statements = bucket_policy(cloud, bucket)
    assert set(statements) == {"TlsOnly"}
    assert (statements["TlsOnly"]["Effect"], statements["TlsOnly"]["Action"]) == ("Deny", "s3:*")
    assert statements["TlsOnly"]["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    assert statements["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_files_stay_unless_the_parameter_says_for_how_long() -> None:
    inbox = resources("pipeline.yaml")["InboxBucket"]["Properties"]
    (rule,) = inbox["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"If": ["ExpiresFiles", {"Ref": "InboxRetentionDays"}, {"Ref": "AWS::NoValue"}]}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "OldVersionDays"}}


def test_the_queue_admits_the_bucket_before_the_bucket_names_the_queue() -> None:
    """S3 refuses a notification to a queue without permission to send."""
    made = resources("pipeline.yaml")
    assert made["InboxBucket"]["DependsOn"] == "FilesQueuePolicy"
    assert "InboxBucket" not in json.dumps(made["FilesQueuePolicy"]).replace("InboxBucketName", "")


def test_an_object_below_the_prefix_becomes_one_event_that_names_its_version(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    (message,) = events(cloud, outputs, "elsewhere/x.eml", "inbox/no-suffix")
    (record,) = message["Records"]
    assert record["eventName"] == "ObjectCreated:Put"
    assert (record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]) == (INBOX, "inbox/no-suffix")
    assert record["s3"]["object"]["versionId"]


def test_without_a_prefix_all_objects_of_the_bucket_are_files(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-root", InboxPrefix="")
    (message,) = events(cloud, outputs, "at-the-top")
    assert message["Records"][0]["s3"]["object"]["key"] == "at-the-top"
    readable = cloud.statements(outputs["FileIntakePolicyArn"])["ReadFiles"]["Resource"]
    assert readable == f"arn:aws:s3:::{outputs['InboxBucketName']}/*"


def test_by_eventbridge_a_rule_brings_the_event_and_s3_sends_none(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-rule", InboxNotifications="eventbridge")
    (message,) = events(cloud, outputs, "elsewhere/x.eml", "inbox/a b.eml")
    assert (message["source"], message["detail-type"]) == ("aws.s3", "Object Created")
    assert message["detail"]["object"]["key"] == "inbox/a b.eml"
    rule_arn = f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/pillarbox-rule-files"
    expected = may_send("events.amazonaws.com", {"ArnEquals": {"aws:SourceArn": rule_arn}}, outputs["FilesQueueArn"])
    statements = policy(cloud, outputs["FilesQueueUrl"])
    assert statements["EventsOfTheRule"] == {"Sid": "EventsOfTheRule"} | expected
    notification = cloud.client("s3").get_bucket_notification_configuration(Bucket=outputs["InboxBucketName"])
    assert "QueueConfigurations" not in notification


def test_a_bucket_that_exists_is_admitted_and_left_as_it_is(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="dropped-mail", CreateBucketConfiguration={"LocationConstraint": REGION})
    outputs = cloud.deploy("pillarbox-mine", InboxBucketName="dropped-mail")
    assert outputs["InboxBucketName"] == "dropped-mail"
    assert policy(cloud, outputs["FilesQueueUrl"])["EventsOfTheInbox"]["Condition"] == from_bucket("dropped-mail")
    granted = cloud.statements(outputs["FileIntakePolicyArn"])
    assert granted["ReadFiles"]["Resource"] == "arn:aws:s3:::dropped-mail/inbox/*"
    assert granted["TellMissingFileFromForbidden"]["Resource"] == "arn:aws:s3:::dropped-mail"
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket="dropped-mail")
    assert "pillarbox-mine-inbox" not in str(s3.list_buckets()["Buckets"])


# ---- SES -------------------------------------------------------------------------------------------------------------


def test_the_receipt_rules_of_this_account_may_write_below_the_prefix_where_it_is_switched_on(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-ses", SesReceiving="true")
    bucket = outputs["InboxBucketName"]
    assert bucket_policy(cloud, bucket)["SesReceiving"] == {
        "Sid": "SesReceiving",
        "Effect": "Allow",
        "Principal": {"Service": "ses.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/inbox/*",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": ACCOUNT_ID},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ses:*:{ACCOUNT_ID}:receipt-rule-set/*"},
        },
    }


@pytest.mark.parametrize("parameters", [{"FileIntake": "false"}, {"InboxBucketName": "dropped-mail"}], ids=str)
def test_ses_receiving_without_a_bucket_whose_policy_is_the_stack_s_is_refused(
    cloud: Cloud, parameters: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match="SesReceiving needs FileIntake=true and an empty InboxBucketName"):
        cloud.deploy("pillarbox-refused", SesReceiving="true", **parameters)


# ---- on and off ------------------------------------------------------------------------------------------------------


def test_file_intake_is_on_unless_it_is_switched_off(cloud: Cloud, outputs: dict[str, str]) -> None:
    assert set(outputs) >= NAMES


@pytest.mark.parametrize("notifications", ["s3", "eventbridge"])
def test_switched_off_it_leaves_nothing(cloud: Cloud, notifications: str) -> None:
    stack = f"pillarbox-off-{notifications}"
    outputs = cloud.deploy(stack, FileIntake="false", InboxNotifications=notifications, PodIdentity="yes")
    assert not (NAMES | {"FileIntakeRoleArn"}) & set(outputs)
    made = cloud.cloudformation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    names = {resource["LogicalResourceId"] for resource in made}
    assert "Queue" in names
    assert not {name for name in names if name.startswith(("Files", "FileIntake", "Inbox"))}
    assert cloud.statements(outputs["KedaPolicyArn"])["ReadQueueLength"]["Resource"] == [outputs["QueueArn"]]


def test_a_running_stack_gets_file_intake_by_an_update(cloud: Cloud) -> None:
    cloud.deploy("pillarbox-later", FileIntake="false")
    cloud.cloudformation.update_stack(
        StackName="pillarbox-later",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": "FileIntake", "ParameterValue": "true"}],
    )
    cloud.cloudformation.get_waiter("stack_update_complete").wait(
        StackName="pillarbox-later", WaiterConfig={"Delay": 1}
    )
    (description,) = cloud.cloudformation.describe_stacks(StackName="pillarbox-later")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}
    (message,) = events(cloud, outputs, "inbox/x.eml")
    assert len(message["Records"]) == 1
