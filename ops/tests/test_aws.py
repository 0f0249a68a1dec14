import pytest

from pillarbox_ops.aws import Clients
from pillarbox_ops.errors import OpsError

from .pipelines import Pipeline


@pytest.fixture(autouse=True)
def shared_clients() -> None:
    """Share none: these tests are about how they are created."""


def test_the_keys_and_the_endpoint_of_the_variables_win_over_those_of_the_process(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-process")
    clients = Clients("eu-west-1", pipeline.environment)
    assert pipeline.bucket in [bucket["Name"] for bucket in clients.s3.list_buckets()["Buckets"]]
    keys = clients.session.get_credentials()
    assert keys is not None
    assert keys.access_key == pipeline.aws["AWS_ACCESS_KEY_ID"]


def test_an_emulator_on_this_machine_is_reached_past_a_proxy(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Clients("eu-west-1", pipeline.environment).sqs.list_queues()["QueueUrls"]


def test_a_client_is_created_once(pipeline: Pipeline) -> None:
    clients = Clients("eu-west-1", pipeline.environment)
    assert clients.ssm is clients.ssm
    assert clients.cloudwatch is clients.cloudwatch


def test_without_a_region_the_error_names_the_variable() -> None:
    with pytest.raises(OpsError, match="AWS_REGION is not set"):
        _ = Clients("", {}).sqs


def test_a_stack_that_does_not_exist_is_an_error(pipeline: Pipeline) -> None:
    with pytest.raises(OpsError, match="there is no stack pillarbox-none in eu-west-1"):
        Clients("eu-west-1", pipeline.environment).stack_outputs("pillarbox-none")


def test_the_outputs_of_a_stack_are_read(pipeline: Pipeline) -> None:
    template = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}, "Outputs": {"QueueUrl": {"Value": {"Ref": "Q"}}}}'
    pipeline.client("cloudformation").create_stack(StackName=f"pillarbox-{pipeline.name}", TemplateBody=template)
    outputs = Clients("eu-west-1", pipeline.environment).stack_outputs(f"pillarbox-{pipeline.name}")
    assert outputs["QueueUrl"].startswith("http")
