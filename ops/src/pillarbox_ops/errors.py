"""What a command ends with: the exit codes, and the error whose text is all that an operator sees."""

from enum import IntEnum


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
