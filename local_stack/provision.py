"""Creates the services' resources in the emulator: the stack of infrastructure/pipeline.yaml and a token in SSM."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_stack.processes import StackError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef
    from mypy_boto3_ssm import SSMClient

NAMES = (
    "API_TOKEN",
    "SQS_QUEUE_URL",
    "SQS_DLQ_URL",
    "S3_BUCKET_NAME",
    "SSM_PARAMETER_NAME",
    "INBOX_BUCKET_NAME",
    "FILES_QUEUE_URL",
    "FILES_DLQ_URL",
    "PAYLOAD_BUCKET",
    "STATUS_BUCKET",
)

STACK_NAME = "pillarbox-local"
TOKEN_PARAMETER = "/email-service/api-token"  # noqa: S105  the parameter's name, not a token
_TEMPLATE = Path(__file__).resolve().parent.parent / "infrastructure" / "pipeline.yaml"
# They replace the template's defaults; the caller's parameters replace them.
_PARAMETERS = {"PayloadStore": "true", "StatusRoute": "true"}
_USABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}


def client(environment: Mapping[str, str], service: str) -> Any:
    """Return a client for the endpoint, region and keys in `environment`; the process's own environment is ignored."""
    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    return session.client(
        service,  # type: ignore[call-overload]  # any service by its name
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        config=Config(proxies={}),  # the endpoint is on this machine: no proxy is used
    )


def is_provisioned(environment: Mapping[str, str]) -> bool:
    """Return whether the stack exists already. Raise StackError."""
    try:
        return _status(client(environment, "cloudformation")) in _USABLE
    except BotoCoreError as exc:
        raise StackError(f"the emulator does not answer: {exc}") from exc


def create_resources(environment: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, str]:
    """Create or update the stack, create the token if it is missing, and return the variables in NAMES.

    Raise StackError.
    """
    try:
        outputs = _deploy(client(environment, "cloudformation"), _PARAMETERS | dict(parameters))
        token = _token(client(environment, "ssm"))
    except (BotoCoreError, ClientError) as exc:
        raise StackError(f"the emulator did not create the resources of the services: {exc}") from exc
    endpoint = environment["AWS_ENDPOINT_URL"]
    return {
        "API_TOKEN": token,
        "SQS_QUEUE_URL": _with_endpoint(endpoint, outputs["QueueUrl"]),
        "SQS_DLQ_URL": _with_endpoint(endpoint, outputs["DeadLetterQueueUrl"]),
        "S3_BUCKET_NAME": outputs["BucketName"],
        "SSM_PARAMETER_NAME": TOKEN_PARAMETER,
        "INBOX_BUCKET_NAME": outputs["InboxBucketName"],
        "FILES_QUEUE_URL": _with_endpoint(endpoint, outputs["FilesQueueUrl"]),
        "FILES_DLQ_URL": _with_endpoint(endpoint, outputs["FilesDeadLetterQueueUrl"]),
        "PAYLOAD_BUCKET": outputs["PayloadBucketName"],
        "STATUS_BUCKET": outputs["StatusBucketName"],
    }


def _with_endpoint(endpoint: str, queue_url: str) -> str:
    """Return a queue's URL with the endpoint of this run; the emulator returns that of the run that created it."""
    return urlsplit(queue_url)._replace(netloc=urlsplit(endpoint).netloc).geturl()


def _deploy(cloudformation: "CloudFormationClient", parameters: Mapping[str, str]) -> dict[str, str]:
    template = _TEMPLATE.read_text()
    values: list[ParameterTypeDef] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
    ]
    status = _status(cloudformation)
    if status in _USABLE:
        _update(cloudformation, template, values)
    else:
        if status:  # a failed creation, which an update cannot repair
            cloudformation.delete_stack(StackName=STACK_NAME)
            cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK_NAME, WaiterConfig={"Delay": 1})
        cloudformation.create_stack(StackName=STACK_NAME, TemplateBody=template, Parameters=values)
        _wait_until_created(cloudformation)
    (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _status(cloudformation: "CloudFormationClient") -> str:
    try:
        (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    except ClientError:
        return ""
    return stack["StackStatus"]


def _wait_until_created(cloudformation: "CloudFormationClient") -> None:
    try:
        cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK_NAME, WaiterConfig={"Delay": 1})
    except BotoCoreError:
        events = cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
        reasons = [event.get("ResourceStatusReason", "") for event in events if "FAILED" in event["ResourceStatus"]]
        raise StackError(
            f"the stack could not be created: {'; '.join(filter(None, reasons)) or 'no reason given'}. If the emulator "
            "was killed, it may have kept the bucket's files and lost the stack: move the folder `emulator` out of "
            "the state's directory (its folder `s3` contains the stored objects) and start again"
        ) from None


def _update(cloudformation: "CloudFormationClient", template: str, values: "list[ParameterTypeDef]") -> None:
    try:
        cloudformation.update_stack(StackName=STACK_NAME, TemplateBody=template, Parameters=values)
    except ClientError as exc:
        if "No updates are to be performed" not in exc.response["Error"]["Message"]:
            raise
    else:
        cloudformation.get_waiter("stack_update_complete").wait(StackName=STACK_NAME, WaiterConfig={"Delay": 1})


def _token(ssm: "SSMClient") -> str:
    try:
        return ssm.get_parameter(Name=TOKEN_PARAMETER, WithDecryption=True)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        token = secrets.token_urlsafe(24)
        ssm.put_parameter(Name=TOKEN_PARAMETER, Value=token, Type="SecureString")
        return token
