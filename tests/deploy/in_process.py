"""The main function of a script's Python module, run in the test's process: no interpreter and no boto3 to start."""

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from unittest import mock

from common.testing.emulator import outer_environment


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a run: exit code and what it printed, named as those of a process."""

    returncode: int
    stdout: str
    stderr: str


def run_main(main: Callable[[], int], environment: Mapping[str, str]) -> Done:
    """Run it with this environment and nothing else of AWS; give what a process would have given."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, outer_environment() | dict(environment), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main()
    return Done(code, out.getvalue(), err.getvalue())
