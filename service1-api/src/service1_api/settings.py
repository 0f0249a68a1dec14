"""The settings of service1-api: every environment variable that it reads, with bounds, default and description."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, Field, model_validator
from pydantic_settings import SettingsConfigDict

from pillarbox.object_key import KeyTemplate
from pillarbox.settings import ServiceSettings

# Requests for the status of an e-mail that a worker handles at once, in threads of their own, and how many may wait.
STATUS_REQUESTS, STATUS_WAITING = 32, 16
# For /health and others when every e-mail slot is in use.
_SPARE_THREADS = 8

_MIB = 1024 * 1024
_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"


def _rate(text: str) -> str:
    import limits  # noqa: PLC0415  # not imported without a limit: it takes a tenth of the start

    try:
        limits.parse(text)
    except ValueError:
        raise ValueError("expected a rate such as 100/minute or 10/second") from None
    return text


def _storage(uri: str) -> str:
    if not uri.startswith(("memory://", "redis://", "rediss://")):
        raise ValueError("expected memory:// or redis://host:port (rediss:// for TLS)")
    return uri


class Settings(ServiceSettings):
    """The environment variables of service1-api; an empty one counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, case_sensitive=True)

    ssm_parameter_name: str = Field(
        "/email-service/api-token",
        validation_alias=AliasChoices("SSM_PARAMETER_NAME", "TOKEN_SSM_PARAMETER"),
        min_length=1,
        description="Name of the SSM parameter (SecureString) that holds the token, or several tokens, one a line",
    )
    workers: int = Field(1, ge=1, le=64, description="Worker processes; prefer more replicas")
    max_requests_in_flight: int = Field(
        64,
        ge=1,
        le=1000,
        description="E-mail requests handled at once by a worker; beyond it 503. Other routes have their own threads",
    )
    max_request_bytes: int = Field(
        2 * _MIB,
        ge=1024,
        le=16 * _MIB,
        description="Largest request body, in bytes, inflated; beyond it 413",
    )
    max_body_bytes_in_flight: int = Field(
        32 * _MIB,
        ge=_MIB,
        le=1024 * _MIB,
        description="Bytes of request bodies that a worker holds at once, incomplete ones included; beyond it 503. At "
        "least twice `MAX_REQUEST_BYTES`",
    )
    payload_bucket: str = Field(
        "",
        pattern=rf"^$|{_BUCKET}",
        description="Bucket for e-mails too large for SQS, to which messages then point; empty: such e-mails get 413",
    )
    payload_prefix: str = Field(
        "payloads/",
        pattern=r"^([A-Za-z0-9!_.*'()-]+/)+$",
        description="Prefix of the keys in `PAYLOAD_BUCKET`; ends with a slash",
    )
    status_bucket: str = Field(
        "",
        pattern=rf"^$|{_BUCKET}",
        description="Bucket of the archive, which `GET /api/messages/<id>` reads; empty: that route answers 501",
    )
    status_prefix: str = Field(
        "messages/",
        validation_alias=AliasChoices("STATUS_PREFIX", "S3_PREFIX"),
        description="The consumer's `S3_PREFIX`",
    )
    status_key_template: str = Field(
        "{prefix}{date:%Y/%m/%d}/{message_id}.json",
        validation_alias=AliasChoices("STATUS_KEY_TEMPLATE", "S3_KEY_TEMPLATE"),
        description="The consumer's `S3_KEY_TEMPLATE`; with `{sender}` the status of an e-mail is not known (501)",
    )
    status_object_layout: Literal["message", "batch"] = Field(
        "message",
        validation_alias=AliasChoices("STATUS_OBJECT_LAYOUT", "OBJECT_LAYOUT"),
        description="The consumer's `OBJECT_LAYOUT`; with `batch` the status of an e-mail is not known (501)",
    )
    request_head_seconds: float = Field(10, gt=0, le=60, description="Time for a client to send its headers")
    request_body_seconds: float = Field(30, gt=0, le=300, description="Time for a client to send a whole request")
    publish_deadline_seconds: float = Field(
        10, ge=1, le=60, description="Time after which an e-mail that SQS has not confirmed is answered with 503"
    )
    max_messages_waiting: int = Field(
        1000,
        ge=100,
        le=100_000,
        description="Messages that may wait for an SQS call in a worker; beyond it 503 at once",
    )
    token_cache_seconds: float = Field(300, ge=1, le=3600, description="Age at which the token is read again")
    token_stale_seconds: float = Field(
        3600, ge=1, le=86_400, description="Age up to which the last valid token is used while SSM fails"
    )
    drain_seconds: float = Field(
        15,
        ge=0,
        le=90,
        description="Time after SIGTERM during which /ready returns 503 while requests are still answered",
    )
    rate_limit: Annotated[str, AfterValidator(_rate)] | None = Field(
        None, description="Requests allowed for a client address, such as 100/minute; unset: no limit"
    )
    rate_limit_storage: Annotated[str, AfterValidator(_storage)] = Field(
        "memory://",
        repr=False,
        exclude=True,  # a URI may hold a password
        description="Where requests are counted: memory:// (per worker) or redis://host:port (shared)",
    )
    trusted_proxy_hops: int = Field(
        0,
        ge=0,
        le=10,
        description="Proxies in front that append to X-Forwarded-For (ALB: 1): which address to count and log",
    )

    @property
    def threads(self) -> int:
        """Return the threads of a worker: each kind of request has its own, so that none holds up the others."""
        return self.max_requests_in_flight + _SPARE_THREADS + (STATUS_REQUESTS if self.status_bucket else 0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        # The server keeps a quarter for small requests, and counts the framing of chunks, up to an eighth, as well.
        if self.max_body_bytes_in_flight < 2 * self.max_request_bytes:
            problems.append("MAX_BODY_BYTES_IN_FLIGHT: must be at least twice MAX_REQUEST_BYTES, or no large body fits")
        try:
            KeyTemplate(self.status_key_template, self.status_prefix)
        except ValueError as exc:
            problems.append(f"STATUS_KEY_TEMPLATE: {exc}")
        if problems:
            raise ValueError("\n".join(problems))
        return self
