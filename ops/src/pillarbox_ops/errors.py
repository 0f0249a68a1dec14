"""What a command ends with: the exit codes, and the error whose text is all that an operator sees."""

import sys
from enum import IntEnum

# Refusals of a whole batch by SQS that are due to a message in it; the others are then sent alone.
_OF_CONTENT = (
    "BatchRequestTooLong",
    "InvalidMessageContents",
    "InvalidParameterValue",
    "InvalidAttributeValue",
    "MissingParameter",  # of an empty body
)


class ExitCode(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING_MATCHED = 3
    DONE_IN_PART = 4


class OpsError(Exception):
    """A command cannot go on; the text says why and what to do. It never holds a token or the content of an e-mail."""

    def __init__(self, text: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def missing(variable: str, what: str) -> OpsError:
    """Return the error of a setting that a command needs and that is not set."""
    return OpsError(
        f"{variable} is not set: {what}. Source .local/stack.env, set it, or use --environment NAME", ExitCode.USAGE
    )


def kind_and_place(exc: BaseException) -> str:
    """Return the type of an exception and where it was raised: its text may quote a token or an e-mail."""
    place = exc.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    line = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    return f"{type(exc).__name__} at {line}"


def content_refusal(exc: Exception) -> str | None:
    """Return the code of a refusal of a whole batch by SQS that is due to a message in it; None for any other error."""
    botocore = sys.modules.get("botocore.exceptions")
    if botocore is None or not isinstance(exc, botocore.ClientError):
        return None
    code = str(exc.response.get("Error", {}).get("Code", ""))
    return code if code.endswith(_OF_CONTENT) else None


def explained(exc: Exception) -> str | None:
    """Return what an OpsError or an error of an AWS library means; None for any other error."""
    if isinstance(exc, OpsError):
        return str(exc)
    botocore = sys.modules.get("botocore.exceptions")
    if botocore is None:
        return None
    if isinstance(exc, botocore.ClientError):
        error = exc.response.get("Error", {})
        code = error.get("Code", "ClientError")
        # SSM quotes the value that it refuses, so only the text of a missing right is shown.
        detail = f": {error.get('Message')}" if "AccessDenied" in code else ""
        return f"AWS refused {exc.operation_name}: {code}{detail}"
    if isinstance(exc, botocore.BotoCoreError):
        return f"AWS cannot be called: {exc}"
    return None
