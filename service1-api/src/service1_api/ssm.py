"""The token's source in SSM Parameter Store. Errors of boto3 become TokenSourceError."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, NoCredentialsError

from service1_api.tokens import TokenSourceError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


class SsmTokenSource:
    """Reads a SecureString of SSM Parameter Store."""

    def __init__(self, new_client: Callable[[], "SSMClient"], parameter_name: str) -> None:
        # Created at the first read: creating it requires credentials, whose provider may fail at the start.
        self._new_client = new_client
        self._client: SSMClient | None = None
        self._name = parameter_name

    def read(self) -> str:
        """Return the decrypted value of the parameter. Raise TokenSourceError."""
        try:
            self._client = self._client or self._new_client()
            return self._client.get_parameter(Name=self._name, WithDecryption=True)["Parameter"]["Value"]
        except ClientError as exc:
            raise TokenSourceError(exc.response.get("Error", {}).get("Code", "ClientError")) from exc
        except NoCredentialsError as exc:
            self._client = None  # a client never searches for credentials again
            raise TokenSourceError("NoCredentialsError") from exc
        except Exception as exc:  # a credential provider may raise anything, such as OSError and RuntimeError
            raise TokenSourceError(type(exc).__name__) from exc
