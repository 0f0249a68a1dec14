"""The bucket for large e-mails and the events of the archive, from infrastructure/pipeline.yaml."""

import json
from collections.abc import Iterator

import pytest

from common.testing.emulator import ACCOUNT_ID, REGION, running_emulator
from tests.deploy.cloud import Cloud
from tests.test_infrastructure_template import resources

STACK = "pillarbox-test"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy(STACK, PayloadStore="true")


def test_the_payload_bucket_is_private_and_tls_only(cloud: Cloud, outputs: dict[str, str]) -> None:
    s3, bucket = cloud.client("s3"), outputs["PayloadBucketName"]
    assert bucket == f"{STACK}-payloads-{ACCOUNT_ID}-{REGION}"
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_payload_outlives_every_message_that_may_point_to_it() -> None:
    made = resources("pipeline.yaml")
    (rule,) = made["PayloadBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["Prefix"], rule["ExpirationInDays"]) == ("Enabled", "payloads/", 30)
    longest_seconds = made["DeadLetterQueue"]["Properties"]["MessageRetentionPeriod"]
    assert rule["ExpirationInDays"] * 86400 > 2 * longest_seconds


def test_without_it_there_is_neither_bucket_nor_right(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-plain")
    assert "PayloadBucketName" not in outputs
    assert "pillarbox-plain-payloads" not in str(cloud.client("s3").list_buckets()["Buckets"])
    for policy in ("ApiPolicyArn", "ConsumerPolicyArn"):
        assert "payload" not in json.dumps(cloud.statements(outputs[policy])).lower()


@pytest.mark.parametrize("switch", ["true", "false"])
def test_the_archive_tells_eventbridge_of_its_objects_where_that_is_switched_on(cloud: Cloud, switch: str) -> None:
    outputs = cloud.deploy(f"pillarbox-events-{switch}", ArchiveEvents=switch)
    notification = cloud.client("s3").get_bucket_notification_configuration(Bucket=outputs["BucketName"])
    assert ("EventBridgeConfiguration" in notification) is (switch == "true")
