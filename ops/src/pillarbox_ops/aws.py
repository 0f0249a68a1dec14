"""AWS clients for a target. boto3 is imported on first use: it takes longer than the rest of a command."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pillarbox_ops.errors import ExitCode, OpsError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from obstore.store import S3Store

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_CONNECTIONS = 32
_USER_AGENT = "pillarbox-ops"


class Clients:
    """The clients of one session, each created once. They take region, keys and endpoints from `variables`.

    These go before the process's own, so that `.local/stack.env` reaches the emulator though a profile is set.
    """

    def __init__(self, region: str, variables: Mapping[str, str]) -> None:
        self._region = region
        self._variables = variables

    @cached_property
    def sqs(self) -> SQSClient:
        """Return the client of SQS."""
        client: SQSClient = self._client("sqs")
        return client

    @cached_property
    def s3(self) -> S3Client:
        """Return the client of S3."""
        client: S3Client = self._client("s3")
        return client

    @cached_property
    def ssm(self) -> SSMClient:
        """Return the client of SSM."""
        client: SSMClient = self._client("ssm")
        return client

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """Return the client of CloudWatch."""
        client: CloudWatchClient = self._client("cloudwatch")
        return client

    @cached_property
    def iam(self) -> Any:
        """Return the client of IAM."""
        return self._client("iam")

    @cached_property
    def sts(self) -> Any:
        """Return the client of STS."""
        return self._client("sts")

    def endpoint(self, service: str) -> str:
        """Return the endpoint that is set for a service; empty if it is the default of AWS."""
        from pillarbox_aws.session import endpoint_url  # noqa: PLC0415  as boto3, see above

        session = self.session._session  # noqa: SLF001  boto3 has no public way to its botocore session
        return endpoint_url(session, service, self._variables) or ""

    def store(self, bucket: str) -> S3Store:
        """Return a bucket for reading many objects at once: obstore spends a tenth of boto3's CPU on each."""
        from pillarbox_aws.credentials import SessionCredentials  # noqa: PLC0415  as boto3, see above
        from pillarbox_aws.object_store import open_store  # noqa: PLC0415
        from pillarbox_aws.session import ca_bundle, endpoint_url  # noqa: PLC0415

        session = self.session._session  # noqa: SLF001  boto3 has no public way to its botocore session
        credentials = SessionCredentials(self.session.get_credentials)
        credentials.start()
        return open_store(
            credentials.for_obstore,
            bucket,
            region=self._region,
            endpoint_url=endpoint_url(session, "s3", self._variables),
            request_seconds=_READ_SECONDS,
            user_agent=_USER_AGENT,
            encryption={},
            ca_bundle=ca_bundle(session),
        )

    def object(self, bucket: str, key: str, version: str) -> bytes:
        """Return an object of any bucket, or of a version of it. Raise OpsError if it is not there."""
        from botocore.exceptions import ClientError  # noqa: PLC0415

        options: Any = {"VersionId": version} if version else {}
        try:
            return self.s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchVersion", "404"):
                raise
            raise OpsError(f"s3://{bucket}/{key} does not exist any more") from None

    def stack_outputs(self, stack: str) -> dict[str, str]:
        """Return the outputs of a CloudFormation stack. Raise OpsError if there is no such stack."""
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            (found,) = self._client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "ValidationError":
                raise
            raise OpsError(f"there is no stack {stack} in {self._region}", ExitCode.USAGE) from None
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    @cached_property
    def session(self) -> boto3.Session:
        """Return the session. Raise OpsError without a region."""
        import boto3  # noqa: PLC0415

        if not self._region:
            raise OpsError("AWS_REGION is not set: the AWS region, such as eu-central-1", ExitCode.USAGE)
        names = {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
        }
        keys: dict[str, Any] = {argument: self._variables.get(variable) or None for argument, variable in names.items()}
        return boto3.Session(region_name=self._region, **keys)

    def _client(self, service: str) -> Any:
        from botocore.config import Config  # noqa: PLC0415  as boto3, see above

        from pillarbox_aws.session import endpoint_url  # noqa: PLC0415

        session = self.session._session  # noqa: SLF001  boto3 has no public way to its botocore session
        endpoint = endpoint_url(session, service, self._variables)
        on_this_machine = urlsplit(endpoint or "").hostname in ("127.0.0.1", "localhost", "::1")
        return self.session.client(
            service,  # type: ignore[call-overload]  # any service by its name
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 4},
                max_pool_connections=_CONNECTIONS,
                user_agent_extra=_USER_AGENT,
                proxies={} if on_this_machine else None,
            ),
        )
