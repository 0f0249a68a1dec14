"""Runs `python -m local_stack` as a process; tests can wait for its lines."""

import os
import re
import shlex
import signal
import subprocess
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from common.testing.ports import free_port
from common.testing.waiting import DEADLINE_SECONDS

REPOSITORY = Path(__file__).resolve().parent.parent
PYTHON = REPOSITORY / ".venvs/local_stack/bin/python"


class Run:
    """A `python -m local_stack` process on free ports."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        ports = {name: str(free_port()) for name in ("PORT", "CONSUMER_PORT", "EMULATOR_PORT", "FILE_INTAKE_PORT")}
        self.process = subprocess.Popen(
            [PYTHON, "-m", "local_stack", "--directory", str(directory)],
            cwd=REPOSITORY,
            env={**os.environ, **ports, "UI_PORT": "", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.printed: list[str] = []

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self._lines.put(line.rstrip("\n"))

    def wait_line(self, pattern: str, timeout_seconds: float = DEADLINE_SECONDS) -> re.Match[str]:
        """Return the match of the next line that matches; skip the lines before it."""
        while True:
            try:
                line = self._lines.get(timeout=timeout_seconds)
            except Empty:
                pytest.fail(f"no line matches {pattern!r}; printed: " + "\n".join(self.printed))
            self.printed.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def stored_key(self) -> str:
        """Wait until the sample e-mail is counted as stored; return the key of its object."""
        key = self.wait_line(r"object +s3://[^/]+/(\S+)$")[1]
        self.wait_line(r"^accepted 1   stored 1")
        return key

    def pid_of(self, name: str) -> int:
        return int((self.directory / "run" / f"{name}.pid").read_text().split()[0])

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.exit_code()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.exit_code()


def read_environment(directory: Path) -> dict[str, str]:
    lines = (directory / "stack.env").read_text().splitlines()
    assert all(line.startswith("export ") for line in lines)
    pairs = (shlex.split(line.removeprefix("export "))[0].partition("=") for line in lines)
    return {name: value for name, _, value in pairs}
