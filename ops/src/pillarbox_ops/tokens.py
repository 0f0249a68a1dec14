"""The API's tokens: a SecureString of SSM with one token a line, the newest first; all of them are valid.

A token is shown once, when it is made. Later it is named by its fingerprint: the first 8 hex digits of its SHA-256.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pillarbox_ops.errors import ExitCode, OpsError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

_TOKEN_BYTES = 36  # 48 characters
_FINGERPRINT_DIGITS = 8


@dataclass(frozen=True, slots=True)
class TokenParameter:
    """A parameter as it was read. Its repr shows no token."""

    name: str
    version: int
    key_id: str
    tier: str
    modified_at: datetime
    tokens: tuple[str, ...] = field(repr=False)

    def with_new(self, token: str, *, keep: int | None = None) -> tuple[str, ...]:
        """Return the tokens with a new one before the newest `keep` others, or before all."""
        return (token, *self.tokens[:keep])

    def without(self, fingerprints: Sequence[str]) -> tuple[str, ...]:
        """Return the tokens that are left without those named. Raise OpsError if one is unknown or none is left."""
        known = {fingerprint(token) for token in self.tokens}
        unknown = [name for name in fingerprints if name.lower() not in known]
        if unknown:
            raise OpsError(f"{self.name} has no token {', '.join(unknown)}: see token ls", ExitCode.NOTHING_MATCHED)
        revoked = {name.lower() for name in fingerprints}
        left = tuple(token for token in self.tokens if fingerprint(token) not in revoked)
        if not left:
            raise OpsError(f"{self.name} would have no token, and no client could send: add one first")
        return left


def new_token() -> str:
    """Return a new token: 48 characters of A-Z a-z 0-9 _ -."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def fingerprint(token: str) -> str:
    """Return the name of a token that does not tell the token."""
    return hashlib.sha256(token.encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def checked(token: str, source: str) -> str:
    """Return a token that a header of HTTP can carry. Raise OpsError, which names the source, for any other."""
    if not (token.isascii() and token.isprintable()):
        raise OpsError(f"{source} has characters that a token cannot have", ExitCode.USAGE)
    return token


def tokens_in(text: str) -> tuple[str, ...]:
    """Return the tokens of a parameter's value as service1-api reads them: blank lines are none."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def read(ssm: SSMClient, name: str) -> TokenParameter:
    """Return the parameter. Raise OpsError if there is no SecureString of that name."""
    filters: Any = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
    described = ssm.describe_parameters(ParameterFilters=filters)["Parameters"]
    if not described or described[0].get("Type") != "SecureString":
        raise OpsError(f"there is no SecureString {name}")
    settings = described[0]
    found = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    tier = settings.get("Tier", "Standard")
    return TokenParameter(
        name, found["Version"], settings["KeyId"], tier, found["LastModifiedDate"], tokens_in(found["Value"])
    )


def write(ssm: SSMClient, parameter: TokenParameter, tokens: Sequence[str]) -> None:
    """Write other tokens under the same key and tier. Raise OpsError if somebody else wrote since it was read.

    SSM has no conditional write, so this is noticed only afterwards; the versions of the parameter still have both.
    """
    options: Any = {"KeyId": parameter.key_id, "Tier": parameter.tier}
    version = ssm.put_parameter(
        Name=parameter.name, Value="\n".join(tokens), Type="SecureString", Overwrite=True, **options
    )["Version"]
    if version != parameter.version + 1:
        raise OpsError(
            f"somebody else changed {parameter.name} at the same time, and that change was overwritten: compare its "
            f"versions {parameter.version + 1} to {version} (aws ssm get-parameter-history)"
        )
