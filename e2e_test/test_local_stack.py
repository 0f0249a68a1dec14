"""`make run` as a newcomer meets it: what it prints, what works when pasted, what stays, how it refuses."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from common.testing.ports import free_port
from common.testing.waiting import DEADLINE_SECONDS

REPOSITORY = Path(__file__).resolve().parent.parent
PYTHON = REPOSITORY / ".venvs/local_stack/bin/python"
NAMES = [
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "API_URL",
    "API_TOKEN",
    "SQS_QUEUE_URL",
    "SQS_DLQ_URL",
    "S3_BUCKET_NAME",
    "SSM_PARAMETER_NAME",
]


class Run:
    """A `python -m local_stack` process whose lines can be waited for."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        ports = {name: str(free_port()) for name in ("PORT", "CONSUMER_PORT", "EMULATOR_PORT")}
        self.process = subprocess.Popen(
            [PYTHON, "-m", "local_stack", "--directory", str(directory)],
            cwd=REPOSITORY,
            env={**os.environ, **ports, **environment},
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
        """Give the first line not seen yet that matches."""
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
        """Return the key of the sample e-mail's object, once the run counts it as stored."""
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


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.end()


def read_environment(directory: Path) -> dict[str, str]:
    lines = (directory / "stack.env").read_text().splitlines()
    assert all(line.startswith("export ") for line in lines)
    pairs = (shlex.split(line.removeprefix("export "))[0].partition("=") for line in lines)
    return {name: value for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Shown:
    """A run that goes on, and what it has shown of its first e-mail."""

    run: Run
    directory: Path
    message_id: str
    key: str


looks_only = pytest.mark.xdist_group("shown")  # one worker runs them all, with one run


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """One run for the tests that only look at it: behind a proxy that does not work, with a layout of its own."""
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    proxies = dict.fromkeys(names, f"http://127.0.0.1:{free_port()}")
    directory = tmp_path_factory.mktemp("shown")
    run = Run(directory, S3_KEY_TEMPLATE="emails/{date:%Y}/{sender}/{message_id}.json", **proxies)
    try:
        message_id = json.loads(run.wait_line(r"answer +200 (\{.*\})$")[1])["message_id"]
        key = run.wait_line(r"object +s3://[^/]+/(\S+)$")[1]
        run.wait_line(r"stored +\d+ ms after it was accepted")
        run.wait_line(r"^accepted 1   stored 1   waiting 0   failed 0$")
        yield Shown(run, directory, message_id, key)
        assert run.interrupt() == 0
    finally:
        run.end()


@looks_only
def test_a_run_shows_an_email_stored_in_the_layout_that_the_environment_names(shown: Shown) -> None:
    assert re.fullmatch(rf"emails/\d{{4}}/[^/]+/{shown.message_id}\.json", shown.key)


@looks_only
def test_a_run_keeps_its_token_to_this_user(shown: Shown) -> None:
    environment = read_environment(shown.directory)
    assert list(environment) == NAMES
    assert (shown.directory / "stack.env").stat().st_mode & 0o077 == 0
    assert environment["API_TOKEN"] not in "\n".join(shown.run.printed)


@looks_only
def test_a_second_run_on_the_same_state_is_refused(shown: Shown, runs: list[Run]) -> None:
    second = Run(shown.directory)
    runs.append(second)
    second.wait_line(r"another local stack runs in .*; stop it first")
    assert second.exit_code() == 1
    assert shown.run.process.poll() is None


@pytest.mark.system
def test_the_curl_line_works_when_pasted_anywhere(runs: list[Run], tmp_path: Path) -> None:
    run = Run(tmp_path)
    runs.append(run)
    run.wait_line(r"^accepted 1")
    at = next(number for number, line in enumerate(run.printed) if "curl" in line)
    lines = "\n".join(run.printed[at : at + 2])
    pasted = subprocess.run(["sh", "-c", lines], cwd="/", capture_output=True, text=True, check=True)
    assert json.loads(pasted.stdout)["status"] == "success"
    run.wait_line(r"^accepted 2   stored 2   waiting 0   failed 0$")
    assert run.interrupt() == 0


def test_what_was_stored_outlives_a_terminal_that_goes_away_and_an_impatient_stop(
    runs: list[Run], tmp_path: Path
) -> None:
    first = Run(tmp_path)
    runs.append(first)
    kept = first.stored_key(), read_environment(tmp_path)["API_TOKEN"]
    first.process.send_signal(signal.SIGHUP)
    assert first.exit_code() == 0
    assert not list((tmp_path / "run").glob("*.pid"))

    second = Run(tmp_path)
    runs.append(second)
    keys = {kept[0], second.stored_key()}
    assert read_environment(tmp_path)["API_TOKEN"] == kept[1]
    os.kill(second.pid_of("service1-api"), signal.SIGSTOP)  # so that a patient stop would take long
    second.process.send_signal(signal.SIGINT)
    second.wait_line("^stopping")
    second.process.send_signal(signal.SIGINT)
    assert second.exit_code() == 0
    assert not list((tmp_path / "run").glob("*.pid"))
    assert names_of(keys) <= stored_files(tmp_path)


def test_runs_that_are_killed_in_whole_or_in_part_lose_neither_objects_nor_token(
    runs: list[Run], tmp_path: Path
) -> None:
    ports = {name: str(free_port()) for name in ("PORT", "CONSUMER_PORT", "EMULATOR_PORT")}
    first = Run(tmp_path, **ports)
    runs.append(first)
    first.stored_key()
    first.process.kill()
    assert first.exit_code() == -signal.SIGKILL

    second = Run(tmp_path, **ports)  # takes over from the processes that the first has left behind on these ports
    runs.append(second)
    kept = second.stored_key(), read_environment(tmp_path)["API_TOKEN"]
    os.kill(second.pid_of("emulator"), signal.SIGKILL)
    second.wait_line("emulator ended by itself with exit code -9")
    assert second.exit_code() == 1

    third = Run(tmp_path)
    runs.append(third)
    keys = {kept[0], third.stored_key()}
    assert read_environment(tmp_path)["API_TOKEN"] == kept[1]
    assert names_of(keys) <= stored_files(tmp_path)
    os.kill(third.pid_of("service2-consumer"), signal.SIGKILL)
    third.wait_line("service2-consumer ended by itself with exit code -9")
    assert third.exit_code() == 1
    assert not list((tmp_path / "run").glob("service1*.pid")), "the rest was stopped"


def names_of(keys: set[str]) -> set[str]:
    return {key.rpartition("/")[2] for key in keys}


def stored_files(directory: Path) -> set[str]:
    return {path.name for path in (directory / "emulator/s3").rglob("*.json")}


def test_a_port_in_use_is_named(runs: list[Run], tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        run = Run(tmp_path, PORT=str(port))
        runs.append(run)
        run.wait_line(rf"port {port} cannot be used .*PORT=\d+ make run")
        assert run.exit_code() == 1


def test_two_equal_ports_are_refused(runs: list[Run], tmp_path: Path) -> None:
    port = str(free_port())
    run = Run(tmp_path, PORT=port, CONSUMER_PORT=port)
    runs.append(run)
    run.wait_line("must be three different ports")
    assert run.exit_code() == 2


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(runs: list[Run], tmp_path: Path, port: str) -> None:
    run = Run(tmp_path, PORT=port)
    runs.append(run)
    run.wait_line("PORT must be a port number from 1 to 65535")
    assert run.exit_code() == 2
