"""One child process: it has a log file and a pid file, is ready when its URL answers, and is stopped by SIGTERM."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.02
_LEFTOVER_SECONDS = 15

# Everything here runs on this machine: the proxies of the environment are not used.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class StackError(Exception):
    """The local stack cannot continue; the text says why and what to do."""


class Process:
    """A program of the stack. It has its own session: Ctrl-C reaches only the stack, which stops it in order."""

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
        self._log_from = 0

    @property
    def pid(self) -> int:
        """The process id. Raise StackError if the process was never started."""
        if self._popen is None:
            raise StackError(f"{self.name} has not been started")
        return self._popen.pid

    def exit_code(self) -> int | None:
        """Return the exit code, or None if the process runs or was never started."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        """Start the process and append to its log."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._pid_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._log_from = log.tell()
            self._popen = subprocess.Popen(  # noqa: S603  the commands are the stack's own
                self._command,
                cwd=self._working_directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_path.write_text(f"{self._popen.pid}\n{self._command[0]}\n")

    def wait_ready(self, timeout_seconds: float) -> None:
        """Return when the ready URL answers. Raise StackError, with the end of the log, on an exit or a time-out."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            ready = answers(self.ready_url)
            if self.exit_code() is not None:  # if the URL was answered, then by another process
                raise StackError(f"{self.name} ended with exit code {self.exit_code()}{self.log_end()}")
            if ready:
                return
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready within {timeout_seconds:.0f} s{self.log_end()}")
            time.sleep(_POLL_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._popen and self._popen.poll() is None:
            self._popen.send_signal(number)

    def wait(self, timeout_seconds: float) -> int:
        """Wait for the end and return the exit code. Raise StackError on a time-out."""
        if self._popen is None:
            raise StackError(f"{self.name} has not been started")
        try:
            code = self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise StackError(f"{self.name} did not end within {timeout_seconds:.0f} s{self.log_end()}") from None
        self._pid_path.unlink(missing_ok=True)
        return code

    def stop(self, timeout_seconds: float) -> int | None:
        """Send SIGTERM, wait, and kill on a time-out. Return the exit code, or None if it was never started."""
        if self._popen is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout_seconds)
        except StackError:
            self.kill()
            return self.wait(timeout_seconds)

    def kill(self) -> None:
        """Send SIGKILL to the process and to its children."""
        if self._popen and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def log_end(self, lines: int = 12) -> str:
        """Return the last lines logged since the last start, as the end of an error text."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_from)
            tail = b"".join(deque(log, maxlen=lines)).decode(errors="replace")
        return f"; the end of {self.log_path}:\n{tail}"


def end_leftovers(directory: Path, names: Sequence[str]) -> None:
    """End the processes that a killed stack in `directory` has left running, in the order of `names`."""
    for name in names:
        path = directory / "run" / f"{name}.pid"
        try:
            number, program = path.read_text().split("\n")[:2]
            pid = int(number)
        except (FileNotFoundError, ValueError):
            continue
        if pid > 0 and program and program in _command_line(pid):
            _end(pid, program)
        path.unlink(missing_ok=True)


def _end(pid: int, program: str) -> None:
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while program in _command_line(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(_POLL_SECONDS)


def _command_line(pid: int) -> str:
    """Return the command line of a process, or an empty text. The id may belong to another program by now."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    found = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return found.stdout


def answers(url: str) -> bool:
    """Return whether a GET of the URL is answered with success within a second."""
    try:
        with direct.open(url, timeout=1):
            return True
    except (OSError, http.client.HTTPException):
        return False


def require_free_port(port: int, variable: str) -> None:
    """Raise StackError if 127.0.0.1:port is taken. Its text names the port and the variable that changes it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            other = port + 1000 if port < 60000 else port - 1000
            raise StackError(
                f"port {port} cannot be used ({exc.strerror}); stop the program that uses it or choose another port: "
                f"{variable}={other} make run"
            ) from None
