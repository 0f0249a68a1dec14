"""What the services need in AWS: the CloudFormation stack of infrastructure/pipeline.yaml and a token in SSM."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef
    from mypy_boto3_ssm import SSMClient

NAMES = ("API_TOKEN", "SQS_QUEUE_URL", "SQS_DLQ_URL", "S3_BUCKET_NAME", "SSM_PARAMETER_NAME")

STACK_NAME = "pillarbox-local"
TOKEN_PARAMETER = "/email-service/api-token"  # noqa: S105  the parameter's name, not a token
_TEMPLATE = Path(__file__).resolve().parent.parent / "infrastructure" / "pipeline.yaml"


def session_of(environment: Mapping[str, str]) -> boto3.Session:
    """Give a session with the region and keys of the environment given, whatever the process's own says."""
    return boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )


def create_resources(environment: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, str]:
    """Create or update the stack, make the token where there is none, and give NAMES with their values."""
    session, endpoint = session_of(environment), environment["AWS_ENDPOINT_URL"]
    outputs = _deploy(session.client("cloudformation", endpoint_url=endpoint), parameters)
    return {
        "API_TOKEN": _token(session.client("ssm", endpoint_url=endpoint)),
        "SQS_QUEUE_URL": _at(endpoint, outputs["QueueUrl"]),
        "SQS_DLQ_URL": _at(endpoint, outputs["DeadLetterQueueUrl"]),
        "S3_BUCKET_NAME": outputs["BucketName"],
        "SSM_PARAMETER_NAME": TOKEN_PARAMETER,
    }


def _at(endpoint: str, queue_url: str) -> str:
    """Give the queue's URL at the endpoint of this run: the emulator keeps the port it had when the queue was made."""
    return urlsplit(queue_url)._replace(netloc=urlsplit(endpoint).netloc).geturl()


def _deploy(cloudformation: "CloudFormationClient", parameters: Mapping[str, str]) -> dict[str, str]:
    template = _TEMPLATE.read_text()
    values: list[ParameterTypeDef] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
    ]
    try:
        cloudformation.describe_stacks(StackName=STACK_NAME)
    except ClientError:
        cloudformation.create_stack(StackName=STACK_NAME, TemplateBody=template, Parameters=values)
        cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK_NAME, WaiterConfig={"Delay": 1})
    else:
        _update(cloudformation, template, values)
    (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


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
