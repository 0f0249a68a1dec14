"""The templates of infrastructure/ deployed to the emulator, and queries of the result."""

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
import yaml

from common.testing.emulator import REGION, ROOT

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


class _TemplateLoader(yaml.CSafeLoader):
    """Reads CloudFormation's short forms as its long forms: `!Sub x` becomes {"Fn::Sub": "x"}."""


def _long_form(loader: _TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode), f"a mapping under !{suffix}"
    text = loader.construct_scalar(node)
    return {name: text.split(".", 1) if suffix == "GetAtt" else text}


yaml.add_multi_constructor("!", _long_form, _TemplateLoader)


@functools.cache
def template_as_json(template: str) -> str:
    """Return a template of infrastructure/ as JSON, which the emulator reads in a fraction of the time for YAML."""
    text = (ROOT / "infrastructure" / template).read_text()
    # A subclass of SafeLoader, which creates only plain values.
    return json.dumps(yaml.load(text, _TemplateLoader))  # noqa: S506


class Cloud:
    """The emulator, used with an administrator's rights."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._clients: dict[str, Any] = {}

    @property
    def cloudformation(self) -> "CloudFormationClient":
        client: CloudFormationClient = self.client("cloudformation")
        return client

    def client(self, service: str) -> Any:
        """Return the client of a service; it is created once."""
        if service not in self._clients:
            self._clients[service] = boto3.client(  # type: ignore[call-overload]
                service,
                endpoint_url=self._environment["AWS_ENDPOINT_URL"],
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    def deploy(self, stack: str, template: str = "pipeline.yaml", **parameters: str) -> dict[str, str]:
        """Create the stack and return its outputs."""
        return self.deploy_tagged(stack, {}, template, **parameters)

    def deploy_tagged(
        self, stack: str, tags: Mapping[str, str], template: str = "pipeline.yaml", **parameters: str
    ) -> dict[str, str]:
        """Create the stack with tags and return its outputs."""
        self.cloudformation.create_stack(
            StackName=stack,
            TemplateBody=template_as_json(template),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Tags=[{"Key": name, "Value": value} for name, value in tags.items()],
        )
        self.cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
        (description,) = self.cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}

    def alarms(self, prefix: str) -> dict[str, Any]:
        """Return the alarms whose names begin with a prefix, by name."""
        alarms = self.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
        return {alarm["AlarmName"]: alarm for alarm in alarms}

    def statements(self, policy_arn: str) -> dict[str, Any]:
        """Return the statements of a managed policy by their Sid."""
        iam = self.client("iam")
        version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]
        return {statement["Sid"]: statement for statement in document["Statement"]}

    def trust(self, role_arn: str) -> Any:
        role = self.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
        return role["AssumeRolePolicyDocument"]["Statement"]
