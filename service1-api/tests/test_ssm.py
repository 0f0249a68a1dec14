"""The token's source in SSM: what it reads, and that every failure is a TokenSourceError."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError
from moto import mock_aws

from service1_api.ssm import SsmTokenSource
from service1_api.tokens import TokenSourceError


@pytest.fixture
def parameter(monkeypatch: pytest.MonkeyPatch) -> Iterator[SsmTokenSource]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("ssm", region_name="eu-central-1")
        client.put_parameter(Name="/token", Value="a\nb", Type="SecureString")
        yield SsmTokenSource(lambda: client, "/token")


def test_read_returns_the_decrypted_parameter(parameter: SsmTokenSource) -> None:
    assert parameter.read() == "a\nb"


def test_missing_parameter_raises_with_the_reason(parameter: SsmTokenSource) -> None:
    with pytest.raises(TokenSourceError, match="ParameterNotFound"):
        SsmTokenSource(parameter._new_client, "/other").read()


def test_unreachable_ssm_raises_with_the_reason() -> None:
    client = boto3.client(
        "ssm",
        region_name="eu-central-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    with pytest.raises(TokenSourceError, match="EndpointConnectionError"):
        SsmTokenSource(lambda: client, "/token").read()


class FailingSsm:
    """A client of SSM whose credentials fail once for each error given."""

    def __init__(self, errors: list[Exception]) -> None:
        self._errors = errors

    def get_parameter(self, **_arguments: object) -> dict[str, dict[str, str]]:
        if self._errors:
            raise self._errors.pop()
        return {"Parameter": {"Value": "a"}}


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        CredentialRetrievalError(provider="container-role", error_msg="down"),
        ClientError({"Error": {"Code": "InvalidIdentityToken"}}, "AssumeRoleWithWebIdentity"),
        RuntimeError("the credentials were refreshed but are still expired"),
        FileNotFoundError("the web identity token"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("while_made", [True, False])
def test_failing_credentials_raise_and_are_requested_again(error: Exception, while_made: bool) -> None:
    errors = [error]

    def new_client() -> Any:
        if errors and while_made:
            raise errors.pop()
        return FailingSsm(errors)

    source = SsmTokenSource(new_client, "/token")
    with pytest.raises(TokenSourceError):
        source.read()
    assert source.read() == "a"
