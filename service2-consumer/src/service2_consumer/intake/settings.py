"""The settings of what the service reads: messages, payloads and files."""

from typing import Literal

from pydantic import Field

from pillarbox.settings import ServiceSettings
from service2_consumer.intake.message_filter import MessageFilter

_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
_MIB = 1024 * 1024


class IntakeSettings(ServiceSettings):
    """The environment variables of the intake."""

    intake: Literal["messages", "files"] = Field(
        "messages", description="`messages`: e-mails in messages; `files`: messages are events of S3 about e-mail files"
    )
    inbox_bucket_name: str = Field(
        "", pattern=rf"^$|{_BUCKET}", description="Bucket of the e-mail files; required with `INTAKE=files`"
    )
    on_missing_object: Literal["dead_letter", "drop"] = Field(
        "dead_letter", description="What happens to an event whose object does not exist"
    )
    max_file_bytes: int = Field(
        40 * _MIB, ge=1024, le=512 * _MIB, description="Largest file or payload that is read; others are dead-lettered"
    )
    read_budget_bytes: int = Field(
        64 * _MIB,
        ge=1024,
        le=4096 * _MIB,
        description="Bytes of files and payloads that all lanes together hold; memory can reach a few times this",
    )
    payload_bucket: str = Field(
        "",
        pattern=rf"^$|{_BUCKET}",
        description="Bucket of e-mails too large for SQS; empty: pointers are dead-lettered",
    )
    payload_prefix: str = Field(
        "payloads/", min_length=1, description="Prefix below which pointers may lead in `PAYLOAD_BUCKET`"
    )
    message_filter: str = Field(
        "", description="Messages to store, by attributes, such as `source=service1-api,mailer`; empty: all"
    )
    on_filtered_message: Literal["dead_letter", "drop"] = Field(
        "dead_letter", description="What happens to a message that `MESSAGE_FILTER` does not match"
    )

    def intake_problems(self) -> list[str]:
        """Return one line for each problem of these settings together."""
        problems = []
        if self.intake == "files" and not self.inbox_bucket_name:
            problems.append("INBOX_BUCKET_NAME: is required with INTAKE=files")
        if self.intake == "files" and self.message_filter:
            problems.append("MESSAGE_FILTER: applies to INTAKE=messages only; events of S3 have no attributes")
        try:
            MessageFilter(self.message_filter)
        except ValueError as exc:
            problems.append(f"MESSAGE_FILTER: {exc}")
        return problems
