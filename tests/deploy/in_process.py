"""Runs the main function of a script's module in the test's process, which avoids the start of an interpreter."""

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from unittest import mock

from common.testing.emulator import outer_environment


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a run: exit code and output, named like those of a process."""

    returncode: int
    stdout: str
    stderr: str


def run_main(main: Callable[[], int], environment: Mapping[str, str]) -> Done:
    """Run `main` with this environment, without other AWS variables; return its result."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, outer_environment() | dict(environment), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main()
    return Done(code, out.getvalue(), err.getvalue())
