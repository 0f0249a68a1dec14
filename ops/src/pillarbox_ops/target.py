"""The pipeline that a command works on: its queues, bucket, token and API, and where these names come from.

They come from the environment variables of the services, from a file of such variables (`.local/stack.env`), or from
the outputs of the CloudFormation stack `pillarbox-<environment>`.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from pillarbox.object_key import KeyTemplate
from pillarbox_ops.errors import ExitCode, OpsError, missing

DEFAULT_ENV_FILE = Path(".local/stack.env")

# Field of Target: the variable that sets it and the output of the stack that holds it.
_NAMES = {
    "region": ("AWS_REGION", None),
    "queue_url": ("SQS_QUEUE_URL", "QueueUrl"),
    "dead_letter_queue_url": ("SQS_DLQ_URL", "DeadLetterQueueUrl"),
    "files_queue_url": ("FILES_QUEUE_URL", "FilesQueueUrl"),
    "files_dead_letter_queue_url": ("FILES_DLQ_URL", "FilesDeadLetterQueueUrl"),
    "bucket": ("S3_BUCKET_NAME", "BucketName"),
    "prefix": ("S3_PREFIX", "ObjectPrefix"),
    "key_template": ("S3_KEY_TEMPLATE", None),
    "inbox_bucket": ("INBOX_BUCKET_NAME", "InboxBucketName"),
    "payload_bucket": ("PAYLOAD_BUCKET", "PayloadBucketName"),
    "token_parameter": ("SSM_PARAMETER_NAME", "TokenParameterName"),
    "api_url": ("API_URL", None),
    "api_token": ("API_TOKEN", None),
    "consumer_url": ("CONSUMER_URL", None),
    "file_intake_url": ("FILE_INTAKE_URL", None),
}
_DEFAULTS = {"prefix": "messages/", "key_template": "{prefix}{date:%Y/%m/%d}/{message_id}.json"}
_EXPLAINED = {
    "region": "the AWS region",
    "queue_url": "the URL of the queue",
    "dead_letter_queue_url": "the URL of the dead-letter queue",
    "files_queue_url": "the URL of the queue of files",
    "files_dead_letter_queue_url": "the URL of the dead-letter queue of files",
    "bucket": "the bucket of the archive",
    "inbox_bucket": "the bucket that files are put into",
    "payload_bucket": "the bucket of payloads too large for SQS",
    "token_parameter": "the SSM parameter with the API's tokens",
    "api_url": "the base URL of the API, such as https://mail.example.com",
    "api_token": "a token of the API",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The names of one pipeline; a name that is not known is empty. The token is not shown by repr."""

    region: str = ""
    queue_url: str = ""
    dead_letter_queue_url: str = ""
    files_queue_url: str = ""
    files_dead_letter_queue_url: str = ""
    bucket: str = ""
    prefix: str = ""
    key_template: str = ""
    inbox_bucket: str = ""
    payload_bucket: str = ""
    token_parameter: str = ""
    api_url: str = ""
    api_token: str = ""
    consumer_url: str = ""
    file_intake_url: str = ""
    environment: str = ""
    """The name given with --environment; empty if the names come from variables."""

    def __repr__(self) -> str:
        return f"Target(environment={self.environment!r}, bucket={self.bucket!r}, queue_url={self.queue_url!r})"

    def need(self, name: str) -> str:
        """Return the value of a field. Raise OpsError, with the variable's name, if it is empty."""
        value: str = getattr(self, name)
        if not value:
            raise missing(_NAMES[name][0], _EXPLAINED[name])
        return value

    def template(self) -> KeyTemplate:
        """Return the template of the archive's keys. Raise OpsError if the consumer would refuse it."""
        try:
            return KeyTemplate(self.key_template, self.prefix)
        except ValueError as exc:
            raise OpsError(f"S3_KEY_TEMPLATE: {exc}", ExitCode.USAGE) from None

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self:
        """Return the target that variables describe; AWS_DEFAULT_REGION stands for a missing AWS_REGION."""
        region = {"AWS_REGION": variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION", "")}
        found = {**variables, **region}
        values = {field: found.get(variable) or _DEFAULTS.get(field, "") for field, (variable, _) in _NAMES.items()}
        return cls(**values)

    @classmethod
    def from_stack(cls, environment: str, outputs: Mapping[str, str], variables: Mapping[str, str]) -> Self:
        """Return the target of a stack's outputs.

        Only what the stack does not name comes from variables: the region, the key template and the addresses.
        """
        own = {variable: variables.get(variable, "") for _, (variable, output) in _NAMES.items() if output is None}
        region = {"AWS_REGION": own["AWS_REGION"] or variables.get("AWS_DEFAULT_REGION", "")}
        named = {variable: outputs.get(output, "") for variable, output in _NAMES.values() if output}
        target = cls.from_variables({**own, **region, **named})
        values = {field.name: getattr(target, field.name) for field in fields(target)}
        return cls(**values | {"environment": environment})


# Variables that say how to reach a pipeline, not which one it is.
_OF_ANY_PIPELINE = {"AWS_REGION", "API_TOKEN"}


def variable_names() -> set[str]:
    """Return the names of the variables that describe a pipeline."""
    return {variable for variable, _ in _NAMES.values()}


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a file of `NAME=VALUE` lines, with or without `export`, quoted as a shell would.

    Raise OpsError if the file cannot be read or a line is none of these; nothing is evaluated.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise OpsError(f"{path} cannot be read: {exc.strerror}", ExitCode.USAGE) from None
    except UnicodeDecodeError:
        raise OpsError(f"{path} holds no variables: it is not in UTF-8", ExitCode.USAGE) from None
    variables: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = [""]
        words = words[1:] if words[:1] == ["export"] else words
        if not words:
            continue
        name, equals, value = words[0].partition("=")
        if len(words) != 1 or not equals or not name.isidentifier():
            raise OpsError(f"{path}, line {number}: expected NAME=VALUE", ExitCode.USAGE)
        variables[name] = value
    return variables


def default_env_file(environ: Mapping[str, str]) -> Path | None:
    """Return `.local/stack.env` if it exists and no variable names a part of a pipeline; else None."""
    if any(environ.get(name) for name in variable_names() - _OF_ANY_PIPELINE):
        return None
    return DEFAULT_ENV_FILE if DEFAULT_ENV_FILE.is_file() else None


def merged(environ: Mapping[str, str], env_file: Path | None) -> dict[str, str]:
    """Return the variables to read: those of the file, and the process's own before them.

    Without a file it is the one of `default_env_file`, whose variables come before the process's own.
    """
    own = dict(environ)
    if env_file is not None:
        return read_env_file(env_file) | own
    default = default_env_file(environ)
    return own | read_env_file(default) if default else own


def resolve(
    environ: Mapping[str, str],
    *,
    env_file: Path | None,
    environment: str | None,
    stack_outputs: Callable[[str, Mapping[str, str]], Mapping[str, str]],
) -> tuple[Target, dict[str, str]]:
    """Return the target, and the variables that its AWS clients have to use.

    `stack_outputs` takes the name of a stack and the variables, and reads its outputs. Raise OpsError.
    """
    if environment is None:
        variables = merged(environ, env_file)
        return Target.from_variables(variables), variables
    if env_file is not None:
        raise OpsError("--environment and --env-file exclude each other", ExitCode.USAGE)
    variables = dict(environ)
    outputs = stack_outputs(f"pillarbox-{environment}", variables)
    return Target.from_stack(environment, outputs, variables), variables
