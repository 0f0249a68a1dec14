"""The resources in the emulator: created once, kept, updated, and what is said if that fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from common.testing.emulator import running_emulator
from common.testing.ports import free_port
from local_stack import provision
from local_stack.processes import StackError


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_emulator(Path(tmp_path_factory.mktemp("emulator"))) as environment:
        yield environment


@pytest.fixture(scope="module")
def created(emulator: dict[str, str]) -> dict[str, str]:
    assert not provision.is_provisioned(emulator)
    return provision.create_resources(emulator, {})


def test_all_variables_of_the_services_are_returned(emulator: dict[str, str], created: dict[str, str]) -> None:
    assert provision.is_provisioned(emulator)
    assert set(created) == set(provision.NAMES)
    assert all(created.values())
    assert created["SQS_QUEUE_URL"].startswith(f"{emulator['AWS_ENDPOINT_URL']}/")


def test_token_is_a_secure_string(emulator: dict[str, str], created: dict[str, str]) -> None:
    parameter = provision.client(emulator, "ssm").get_parameter(Name=created["SSM_PARAMETER_NAME"])["Parameter"]
    assert parameter["Type"] == "SecureString"
    assert len(created["API_TOKEN"]) >= 32


def test_changed_parameter_updates_the_stack_and_keeps_the_token(
    emulator: dict[str, str], created: dict[str, str]
) -> None:
    assert provision.create_resources(emulator, {"VisibilityTimeoutSeconds": "77"}) == created
    attributes = provision.client(emulator, "sqs").get_queue_attributes(
        QueueUrl=created["SQS_QUEUE_URL"], AttributeNames=["VisibilityTimeout"]
    )["Attributes"]
    assert attributes["VisibilityTimeout"] == "77"


def test_client_ignores_the_settings_of_the_process(monkeypatch: pytest.MonkeyPatch, emulator: dict[str, str]) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    s3 = provision.client(emulator, "s3")
    assert s3.list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.meta.region_name == emulator["AWS_REGION"]


def test_queue_url_gets_the_endpoint_of_this_run() -> None:
    url = provision._with_endpoint("http://127.0.0.1:4600", "http://127.0.0.1:4566/000000000000/emails")
    assert url == "http://127.0.0.1:4600/000000000000/emails"


class FakeCloudFormation:
    """A CloudFormation with one stack in a state; a creation fails for `reasons`, an update with `refusal`."""

    def __init__(self, status: str, reasons: list[str] | None = None, refusal: str = "") -> None:
        self.status = status
        self.reasons = reasons
        self.refusal = refusal
        self.calls: list[str] = []

    def describe_stacks(self, **_arguments: object) -> dict[str, Any]:
        if not self.status:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        outputs = [{"OutputKey": "BucketName", "OutputValue": "archive"}]
        return {"Stacks": [{"StackStatus": self.status, "Outputs": outputs}]}

    def delete_stack(self, **_arguments: object) -> None:
        self.calls.append("delete")
        self.status = ""

    def create_stack(self, **_arguments: object) -> None:
        self.calls.append("create")
        self.status = "CREATE_COMPLETE" if self.reasons is None else "ROLLBACK_COMPLETE"

    def update_stack(self, **_arguments: object) -> None:
        self.calls.append("update")
        raise ClientError({"Error": {"Code": "ValidationError", "Message": self.refusal}}, "UpdateStack")

    def describe_stack_events(self, **_arguments: object) -> dict[str, Any]:
        failed = [{"ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": text} for text in self.reasons or []]
        return {"StackEvents": [{"ResourceStatus": "CREATE_COMPLETE", "ResourceStatusReason": "fine"}, *failed]}

    def get_waiter(self, name: str) -> "FakeCloudFormation":
        self.calls.append(f"wait for {name}")
        return self

    def wait(self, **_arguments: object) -> None:
        if self.status == "ROLLBACK_COMPLETE":
            raise WaiterError("stack_create_complete", "terminal failure", {})


def test_failed_stack_is_deleted_before_it_is_created_again() -> None:
    cloudformation: Any = FakeCloudFormation("ROLLBACK_COMPLETE")
    assert provision._deploy(cloudformation, {}) == {"BucketName": "archive"}
    assert cloudformation.calls == [
        "delete",
        "wait for stack_delete_complete",
        "create",
        "wait for stack_create_complete",
    ]


@pytest.mark.parametrize(
    ("reasons", "text"), [(["bucket exists", ""], "created: bucket exists. If"), ([], "created: no reason given. If")]
)
def test_creation_that_fails_is_an_error_with_the_reasons(reasons: list[str], text: str) -> None:
    cloudformation: Any = FakeCloudFormation("", reasons)
    with pytest.raises(StackError, match=text):
        provision._deploy(cloudformation, {})


def test_stack_without_changes_is_kept() -> None:
    cloudformation: Any = FakeCloudFormation("CREATE_COMPLETE", refusal="No updates are to be performed.")
    assert provision._deploy(cloudformation, {}) == {"BucketName": "archive"}
    assert cloudformation.calls == ["update"]


def test_update_that_is_refused_is_an_error() -> None:
    cloudformation: Any = FakeCloudFormation("UPDATE_COMPLETE", refusal="Template error")
    with pytest.raises(ClientError, match="Template error"):
        provision._deploy(cloudformation, {})
