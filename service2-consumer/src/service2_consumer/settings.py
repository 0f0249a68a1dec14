"""The settings of the service, and the checks of timings that depend on each other."""

from typing import Literal, Self

from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import SettingsConfigDict

from pillarbox.object_key import KeyTemplate
from service2_consumer.intake.settings import IntakeSettings

SERVICE = "service2-consumer"
SQS_CALL_SECONDS = 10  # the longest duration of a delete or a release, including its retries
# EC2 gives a spot instance two minutes: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
SPOT_NOTICE_SECONDS = 120


class Settings(IntakeSettings):
    """The environment variables of service2-consumer."""

    model_config = SettingsConfigDict(populate_by_name=True)

    bucket: str = Field(
        validation_alias="S3_BUCKET_NAME",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="Bucket that stores the e-mails",
    )
    prefix: str = Field(
        "messages/",
        validation_alias="S3_PREFIX",
        description="Literal prefix of all keys; end it with a slash; on AWS the stack's `ObjectPrefix`",
    )
    key_template: str = Field(
        "{prefix}{date:%Y/%m/%d}/{message_id}.json",
        validation_alias="S3_KEY_TEMPLATE",
        description="Object key in Python format syntax; begins with `{prefix}`; "
        "fields `date` `message_id` `sender` `shard`",
    )
    sse: Literal["", "AES256", "aws:kms"] = Field(
        "", validation_alias="S3_SSE", description="Encryption requested with each PUT; empty: the bucket's default"
    )
    kms_key_id: str = Field(
        "", validation_alias="S3_KMS_KEY_ID", description="KMS key, with `S3_SSE=aws:kms`; empty: the account's aws/s3"
    )
    allow_overwrite: bool = Field(
        False,
        description="Start although the store ignores `If-None-Match`: e-mails with the same id overwrite each other",
    )
    message_validation: Literal["email", "none"] = Field(
        "email", description="`email`: other messages go to the dead-letter queue; `none`: any body is stored unchanged"
    )
    object_layout: Literal["message", "batch"] = Field(
        "message",
        description="`message`: one object each; `batch`: many per gzip JSON-lines object, at least once after a crash",
    )
    object_compression: Literal["none", "gzip"] = Field(
        "none", description="`gzip`: an object each is compressed and its key ends in `.gz`; batches always are"
    )
    batch_max_messages: int = Field(500, ge=1, le=10_000, description="Messages in one batch object")
    batch_max_bytes: int = Field(
        8 * 1024 * 1024,
        ge=1024 * 1024,
        le=64 * 1024 * 1024,
        description="Uncompressed bytes in all open batches of a lane",
    )
    batch_max_seconds: int = Field(30, ge=1, le=3600, description="Age at which a batch is written")
    lanes: int = Field(4, ge=1, le=64, description="Lanes (threads) that receive and store")
    max_messages_per_poll: int = Field(10, ge=1, le=10, description="Maximum number of messages per receive")
    long_poll_seconds: int = Field(
        20,
        ge=0,
        le=20,
        description="How long a receive waits for a message; a stop waits for it too, so use 1 or 2 on a laptop",
    )
    poll_interval_seconds: int = Field(
        0,
        validation_alias=AliasChoices("POLL_INTERVAL_SECONDS", "POLL_INTERVAL"),
        ge=0,
        le=300,
        description="Pause after an empty poll; long polling already waits",
    )
    visibility_timeout_seconds: int = Field(
        300,
        ge=3,
        le=43_200,
        description="How long a received message is hidden from other consumers, sent with each receive",
    )
    store_deadline_seconds: int = Field(20, ge=1, le=100, description="Maximum duration of one attempt to store")
    store_tries: int = Field(
        12,
        ge=1,
        le=100,
        description="Retries of an object that fails while the store works, before it counts towards the DLQ",
    )
    liveness_seconds: int = Field(
        600,
        ge=5,
        le=3600,
        description="`/health` returns 503 if a lane hangs in one call this long; failures of SQS or S3 do not count",
    )

    @property
    def drain_seconds(self) -> int:
        """Return the longest duration of a stop; a pod's grace period must be longer."""
        return self.long_poll_seconds + self.store_deadline_seconds + SQS_CALL_SECONDS

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [*self._timing_problems(), *self._storing_problems(), *self.intake_problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _timing_problems(self) -> list[str]:
        problems = []
        if 3 * self.store_deadline_seconds > self.visibility_timeout_seconds:
            problems.append("STORE_DEADLINE_SECONDS: must be at most a third of VISIBILITY_TIMEOUT_SECONDS")
        if self.drain_seconds >= SPOT_NOTICE_SECONDS:
            problems.append(
                f"LONG_POLL_SECONDS: with STORE_DEADLINE_SECONDS and {SQS_CALL_SECONDS} s for SQS calls it must stay "
                f"below the {SPOT_NOTICE_SECONDS} s of a spot notice"
            )
        if self.drain_seconds + self.poll_interval_seconds > self.liveness_seconds:
            problems.append(
                "LIVENESS_SECONDS: must be at least LONG_POLL_SECONDS + STORE_DEADLINE_SECONDS + POLL_INTERVAL_SECONDS "
                f"+ {SQS_CALL_SECONDS}"
            )
        held = (
            self.batch_max_seconds + self.long_poll_seconds + self.store_deadline_seconds + self.poll_interval_seconds
        )
        if self.object_layout == "batch" and 2 * held > self.visibility_timeout_seconds:
            problems.append(
                "BATCH_MAX_SECONDS: with LONG_POLL_SECONDS, POLL_INTERVAL_SECONDS and STORE_DEADLINE_SECONDS it must "
                "be at most half of VISIBILITY_TIMEOUT_SECONDS: messages must not return while a batch is open"
            )
        return problems

    def _storing_problems(self) -> list[str]:
        problems = []
        if self.kms_key_id and self.sse != "aws:kms":
            problems.append("S3_KMS_KEY_ID: needs S3_SSE=aws:kms")
        try:
            KeyTemplate(self.key_template, self.prefix)
        except ValueError as exc:
            problems.append(f"S3_KEY_TEMPLATE: {exc}")
        return problems
