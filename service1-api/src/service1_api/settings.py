"""The settings of service1-api: every environment variable that it reads, with bounds, default and description."""

from typing import Annotated, Literal

import limits
from pydantic import AfterValidator, AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from pillarbox.settings import ServiceSettings

_MIB = 1024 * 1024


def _queue_url(text: str) -> str:
    if not text.startswith(("https://", "http://")) or text.count("/") < 4:
        raise ValueError("expected a queue URL such as https://sqs.eu-central-1.amazonaws.com/123456789012/name")
    return text


def _rate(text: str) -> str:
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

    aws_region: str = Field(validation_alias="AWS_REGION", min_length=1, description="AWS region of queue and token")
    sqs_queue_url: Annotated[str, AfterValidator(_queue_url)] = Field(
        validation_alias="SQS_QUEUE_URL", description="URL of the queue for the e-mails"
    )
    ssm_parameter_name: str = Field(
        "/email-service/api-token",
        validation_alias=AliasChoices("SSM_PARAMETER_NAME", "TOKEN_SSM_PARAMETER"),
        min_length=1,
        description="Name of the SSM parameter (SecureString) that holds the token, or several tokens, one a line",
    )
    bind_host: str = Field("0.0.0.0", validation_alias="BIND_HOST", min_length=1, description="Address to listen on")  # noqa: S104  # a pod listens on all of its addresses
    port: int = Field(8080, validation_alias="PORT", ge=1, le=65535, description="TCP port to listen on")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="Least severe level that is logged"
    )
    workers: int = Field(
        1, validation_alias="WORKERS", ge=1, le=64, description="Worker processes; prefer more replicas"
    )
    max_requests_in_flight: int = Field(
        64,
        validation_alias="MAX_REQUESTS_IN_FLIGHT",
        ge=1,
        le=1000,
        description="E-mail requests handled at once by a worker; beyond it 503. Other routes have their own threads",
    )
    max_request_bytes: int = Field(
        2 * _MIB,
        validation_alias="MAX_REQUEST_BYTES",
        ge=1024,
        le=16 * _MIB,
        description="Largest request body, in bytes; beyond it 413",
    )
    max_body_bytes_in_flight: int = Field(
        32 * _MIB,
        validation_alias="MAX_BODY_BYTES_IN_FLIGHT",
        ge=_MIB,
        le=1024 * _MIB,
        description="Bytes of request bodies that a worker holds at once, incomplete ones included; beyond it 503",
    )
    request_head_seconds: float = Field(
        10, validation_alias="REQUEST_HEAD_SECONDS", gt=0, le=60, description="Time for a client to send its headers"
    )
    request_body_seconds: float = Field(
        30,
        validation_alias="REQUEST_BODY_SECONDS",
        gt=0,
        le=300,
        description="Time for a client to send a whole request",
    )
    publish_deadline_seconds: float = Field(
        10,
        validation_alias="PUBLISH_DEADLINE_SECONDS",
        ge=1,
        le=60,
        description="Time after which an e-mail that SQS has not confirmed is answered with 503",
    )
    max_messages_waiting: int = Field(
        1000,
        validation_alias="MAX_MESSAGES_WAITING",
        ge=100,
        le=100_000,
        description="Messages that may wait for an SQS call in a worker; beyond it 503 at once",
    )
    token_cache_seconds: float = Field(
        300, validation_alias="TOKEN_CACHE_SECONDS", ge=1, le=3600, description="Age at which the token is read again"
    )
    token_stale_seconds: float = Field(
        3600,
        validation_alias="TOKEN_STALE_SECONDS",
        ge=1,
        le=86_400,
        description="Age up to which the last valid token is used while SSM fails",
    )
    drain_seconds: float = Field(
        15,
        validation_alias="DRAIN_SECONDS",
        ge=0,
        le=90,
        description="Time after SIGTERM during which /ready returns 503 while requests are still answered",
    )
    rate_limit: Annotated[str, AfterValidator(_rate)] | None = Field(
        None,
        validation_alias="RATE_LIMIT",
        description="Requests allowed for a client address, such as 100/minute; unset: no limit",
    )
    rate_limit_storage: Annotated[str, AfterValidator(_storage)] = Field(
        "memory://",
        validation_alias="RATE_LIMIT_STORAGE",
        repr=False,
        exclude=True,  # a URI may hold a password
        description="Where requests are counted: memory:// (per worker) or redis://host:port (shared)",
    )
    trusted_proxy_hops: int = Field(
        0,
        validation_alias="TRUSTED_PROXY_HOPS",
        ge=0,
        le=10,
        description="Proxies in front that append to X-Forwarded-For (ALB: 1): which address to count and log",
    )
