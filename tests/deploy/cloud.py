"""infrastructure/pipeline.yaml deployed to the emulator, and what tests ask of it."""

from typing import TYPE_CHECKING, Any

import boto3

from tests.deploy.emulator import REGION, ROOT

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


class Cloud:
    """The emulator, through the clients of an administrator."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.cloudformation: CloudFormationClient = self.client("cloudformation")

    def client(self, service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self._environment["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def deploy(self, stack: str, **parameters: str) -> dict[str, str]:
        template = (ROOT / "infrastructure/pipeline.yaml").read_text()
        self.cloudformation.create_stack(
            StackName=stack,
            TemplateBody=template,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )
        self.cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
        (description,) = self.cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}

    def statements(self, policy_arn: str) -> dict[str, Any]:
        """The statements of a managed policy by their Sid."""
        iam = self.client("iam")
        version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)["PolicyVersion"]["Document"]
        return {statement["Sid"]: statement for statement in document["Statement"]}

    def trust(self, role_arn: str) -> Any:
        role = self.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
        return role["AssumeRolePolicyDocument"]["Statement"]
