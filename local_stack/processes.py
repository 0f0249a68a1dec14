"""One child process: started with a log file and a pid file, waited for until ready, stopped by SIGTERM."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.02


class StackError(Exception):
    """The local stack cannot go on; the text says why and what to do."""


class Process:
    """A program of the stack, in a session of its own, so that Ctrl-C reaches the stack alone and it sets the order."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        directory: Path,
        working_directory: Path,
        ready_url: str,
    ) -> None:
        self.name = name
        self.log_path = directory / "log" / f"{name}.log"
        self.ready_url = ready_url
        self._command = [str(part) for part in command]
        self._environment = dict(environment)
        self._working_directory = working_directory
        self._pid_path = directory / "run" / f"{name}.pid"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises StackError where the process was never started."""
        if self._popen is None:
            raise StackError(f"{self.name} has not been started")
        return self._popen.pid

    def exit_code(self) -> int | None:
        """Give the exit code, or None while it runs or before it was started."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        """Start it, ending first what a killed run left behind under the same pid file."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._pid_path.parent.mkdir(parents=True, exist_ok=True)
        self._end_leftover()
        with self.log_path.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603  the commands are the stack's own
                self._command,
                cwd=self._working_directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_path.write_text(f"{self._popen.pid}\n")

    def wait_ready(self, timeout_seconds: float) -> None:
        """Return once the ready URL answers 200. Raises StackError, with the log's end, when it exits or time is up."""
        deadline = time.monotonic() + timeout_seconds
        while not answers(self.ready_url):
            if self.exit_code() is not None:
                raise StackError(f"{self.name} ended with exit code {self.exit_code()}{self.log_end()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready within {timeout_seconds:.0f} s{self.log_end()}")
            time.sleep(_POLL_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended is left alone."""
        if self._popen and self._popen.poll() is None:
            self._popen.send_signal(number)

    def wait(self, timeout_seconds: float) -> int:
        """Wait for the end and give the exit code. Raises StackError when time is up."""
        if self._popen is None:
            raise StackError(f"{self.name} has not been started")
        try:
            code = self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise StackError(f"{self.name} did not end within {timeout_seconds:.0f} s{self.log_end()}") from None
        self._pid_path.unlink(missing_ok=True)
        return code

    def stop(self, timeout_seconds: float) -> int | None:
        """SIGTERM, wait, and SIGKILL when time is up; gives the exit code, None where it was never started."""
        if self._popen is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout_seconds)
        except StackError:
            self.kill()
            return self.wait(timeout_seconds)

    def kill(self) -> None:
        """SIGKILL the process and all that it started."""
        if self._popen and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def log_end(self, lines: int = 12) -> str:
        """Give the last lines of the log, to stand behind an error text."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open(errors="replace") as log:
            tail = "".join(deque(log, maxlen=lines))
        return f"; the end of {self.log_path}:\n{tail}"

    def _end_leftover(self) -> None:
        try:
            pid = int(self._pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return
        if self._is_ours(pid):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 15
            while self._is_ours(pid) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            if self._is_ours(pid):
                os.kill(pid, signal.SIGKILL)

    def _is_ours(self, pid: int) -> bool:
        """Tell whether the pid still is this program: a number may have been given to another one since."""
        found = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return self._command[0] in found.stdout and "<defunct>" not in found.stdout


def answers(url: str) -> bool:
    """Tell whether a GET of the URL gives a status below 300 within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310  an http URL of this machine
            return True
    except (urllib.error.URLError, OSError):
        return False


def require_free_port(port: int, variable: str) -> None:
    """Raise StackError, naming the port and the variable that moves it, when something listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            other = port + 1000 if port < 60000 else port - 1000
            raise StackError(
                f"port {port} cannot be used ({exc.strerror}); stop what uses it or take another one: "
                f"{variable}={other} make run"
            ) from None


def free_port() -> int:
    """Give a port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
