"""Settings from environment variables: how both services declare them, read them and explain what is wrong."""

import re
import sys
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, AliasGenerator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

EXIT_WRONG_SETTINGS = 2


def _queue_url(text: str) -> str:
    if not re.match(r"https?://[^/]+/.", text):
        raise ValueError("expected a queue URL such as https://sqs.eu-central-1.amazonaws.com/123456789012/name")
    return text


class ServiceSettings(BaseSettings):
    """What both services read. A field's variable is its name in upper case unless `validation_alias` names another."""

    model_config = SettingsConfigDict(
        hide_input_in_errors=True,
        frozen=True,
        extra="ignore",
        alias_generator=AliasGenerator(validation_alias=str.upper),
    )

    aws_region: str = Field(pattern=r"^[a-z]{2}[a-z0-9-]+$", description="AWS region, such as eu-central-1")
    sqs_queue_url: Annotated[str, AfterValidator(_queue_url)] = Field(description="URL of the queue of the e-mails")
    bind_host: str = Field("0.0.0.0", min_length=1, description="Address to listen on")  # noqa: S104  # a pod listens on all of its addresses
    port: int = Field(8080, ge=1, le=65_535, description="TCP port to listen on")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Least severe level that is logged"
    )


_Settings = TypeVar("_Settings", bound=BaseSettings)


def load_or_exit(settings: type[_Settings]) -> _Settings:
    """Read the environment. If a variable is wrong, print one line for each on standard error and exit with code 2."""
    try:
        return settings()
    except ValidationError as exc:
        print(*explain(settings, exc), sep="\n", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_SETTINGS) from None


def explain(settings: type[BaseSettings], error: ValidationError) -> list[str]:
    """Return one line for each wrong variable: its name, what is expected, its description. No line quotes a value.

    A validator of the whole model raises ValueError with complete lines, which are returned as they are.
    """
    descriptions = {variables(name, field)[0]: field.description for name, field in settings.model_fields.items()}
    lines: list[str] = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        expected = "is required" if found["type"] == "missing" else found["msg"].removeprefix("Value error, ")
        if found["loc"]:
            name = str(found["loc"][0])
            lines.append(f"{name}: {expected} ({descriptions.get(name, 'see the table of settings')})")
        else:
            lines.extend(expected.split("\n"))
    return lines


def variables(name: str, field: FieldInfo) -> list[str]:
    """Return the environment variables that set a field: the preferred one first, then its aliases."""
    alias = field.validation_alias
    return (
        [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [str(alias or name.upper())]
    )
