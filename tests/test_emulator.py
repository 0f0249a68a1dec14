"""The emulator that tests of deployments share, one after the other."""

from pathlib import Path

from common.testing.emulator import running_emulator
from tests.deploy.cloud import Cloud


def test_the_next_user_gets_an_emulator_that_holds_nothing(tmp_path: Path) -> None:
    with running_emulator(tmp_path) as first:
        cloud = Cloud(first)
        cloud.deploy("pillarbox-test")
        cloud.client("ssm").put_parameter(Name="/token", Value="t", Type="SecureString")
    with running_emulator(tmp_path) as second:
        assert second == first
        cloud = Cloud(second)
        assert cloud.cloudformation.describe_stacks()["Stacks"] == []
        assert cloud.client("sqs").list_queues().get("QueueUrls", []) == []
        assert cloud.client("s3").list_buckets()["Buckets"] == []
        assert cloud.client("ssm").describe_parameters()["Parameters"] == []
