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
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from common.testing.ports import free_port

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

    def wait_line(self, pattern: str, timeout_seconds: float = 60) -> re.Match[str]:
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

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        if run.process.poll() is None:
            run.process.terminate()
            run.process.wait(30)


def read_environment(directory: Path) -> dict[str, str]:
    lines = (directory / "stack.env").read_text().splitlines()
    assert all(line.startswith("export ") for line in lines)
    pairs = (shlex.split(line.removeprefix("export "))[0].partition("=") for line in lines)
    return {name: value for name, _, value in pairs}


def test_a_run_shows_an_email_stored_and_keeps_its_token_to_this_user(runs: list[Run], tmp_path: Path) -> None:
    run = Run(tmp_path)
    runs.append(run)
    message_id = json.loads(run.wait_line(r"answer +200 (\{.*\})$")[1])["message_id"]
    assert message_id in run.wait_line(r"object +(s3://\S+)$")[1]
    run.wait_line(r"stored +\d+ ms after it was accepted")
    run.wait_line(r"^accepted 1   stored 1   waiting 0   failed 0$")
    environment = read_environment(tmp_path)
    assert list(environment) == NAMES
    assert (tmp_path / "stack.env").stat().st_mode & 0o077 == 0
    assert environment["API_TOKEN"] not in "\n".join(run.printed)
    assert run.interrupt() == 0


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


def test_what_was_stored_is_there_after_a_stop_and_a_start(runs: list[Run], tmp_path: Path) -> None:
    objects = []
    for _ in range(2):
        run = Run(tmp_path)
        runs.append(run)
        objects.append(run.wait_line(r"object +s3://\S+/(messages/\S+)$")[1])
        run.wait_line(r"^accepted 1")
        token = read_environment(tmp_path)["API_TOKEN"]
        if len(objects) == 1:
            first_token = token
        assert run.interrupt() == 0
    files = {path.name for path in (tmp_path / "emulator/s3").rglob("*.json")}
    assert {key.rpartition("/")[2] for key in objects} <= files
    assert token == first_token


def test_a_second_run_on_the_same_state_is_refused(runs: list[Run], tmp_path: Path) -> None:
    first = Run(tmp_path)
    runs.append(first)
    first.wait_line(r"^accepted 1")
    second = Run(tmp_path)
    runs.append(second)
    second.wait_line(r"another local stack runs in .*; stop it first")
    assert second.process.wait(10) == 1
    assert first.interrupt() == 0


def test_a_port_in_use_is_named(runs: list[Run], tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        run = Run(tmp_path, PORT=str(port))
        runs.append(run)
        run.wait_line(rf"port {port} cannot be used .*PORT=\d+ make run")
        assert run.process.wait(10) == 1


def test_two_equal_ports_are_refused(runs: list[Run], tmp_path: Path) -> None:
    port = str(free_port())
    run = Run(tmp_path, PORT=port, CONSUMER_PORT=port)
    runs.append(run)
    run.wait_line("must be three different ports")
    assert run.process.wait(10) == 2


def test_a_run_takes_over_from_one_that_was_killed_on_the_same_ports(runs: list[Run], tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in ("PORT", "CONSUMER_PORT", "EMULATOR_PORT")}
    first = Run(tmp_path, **ports)
    runs.append(first)
    first.wait_line(r"^accepted 1")
    first.process.kill()
    first.process.wait(10)
    second = Run(tmp_path, **ports)
    runs.append(second)
    second.wait_line(r"^accepted 1   stored 1")
    assert second.interrupt() == 0


def test_a_killed_emulator_costs_neither_the_objects_nor_the_token(runs: list[Run], tmp_path: Path) -> None:
    first = Run(tmp_path)
    runs.append(first)
    key = first.wait_line(r"object +s3://\S+/(messages/\S+)$")[1]
    first.wait_line(r"^accepted 1")
    token = read_environment(tmp_path)["API_TOKEN"]
    os.kill(int((tmp_path / "run/emulator.pid").read_text().split()[0]), signal.SIGKILL)
    first.wait_line("emulator ended by itself with exit code -9")
    assert first.process.wait(30) == 1
    second = Run(tmp_path)
    runs.append(second)
    second.wait_line(r"^accepted 1   stored 1")
    assert read_environment(tmp_path)["API_TOKEN"] == token
    assert list((tmp_path / "emulator/s3").rglob(key.rpartition("/")[2]))
    assert second.interrupt() == 0


def test_a_terminal_that_goes_away_stops_everything(runs: list[Run], tmp_path: Path) -> None:
    run = Run(tmp_path)
    runs.append(run)
    run.wait_line(r"^accepted 1")
    run.process.send_signal(signal.SIGHUP)
    assert run.process.wait(30) == 0
    assert not list((tmp_path / "run").glob("*.pid"))


def test_a_second_interrupt_still_lets_the_emulator_save_its_state(runs: list[Run], tmp_path: Path) -> None:
    run = Run(tmp_path)
    runs.append(run)
    run.wait_line(r"^accepted 1")
    os.kill(
        int((tmp_path / "run/service1-api.pid").read_text().split()[0]), signal.SIGSTOP
    )  # stopping it would take long
    run.process.send_signal(signal.SIGINT)
    run.wait_line("^stopping")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(30) == 0
    assert not list((tmp_path / "run").glob("*.pid"))


def test_a_proxy_in_the_environment_is_not_in_the_way(runs: list[Run], tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    run = Run(tmp_path, **dict.fromkeys(names, nobody))
    runs.append(run)
    run.wait_line(r"^accepted 1   stored 1")
    assert run.interrupt() == 0


def test_another_object_layout_is_found_too(runs: list[Run], tmp_path: Path) -> None:
    run = Run(tmp_path, S3_KEY_TEMPLATE="emails/{date:%Y}/{sender}/{message_id}.json")
    runs.append(run)
    assert run.wait_line(r"object +s3://[^/]+/(\S+)$")[1].startswith("emails/")
    run.wait_line(r"^accepted 1   stored 1")
    assert run.interrupt() == 0


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(runs: list[Run], tmp_path: Path, port: str) -> None:
    run = Run(tmp_path, PORT=port)
    runs.append(run)
    run.wait_line("PORT must be a port number from 1 to 65535")
    assert run.process.wait(10) == 2


def test_a_service_that_dies_ends_the_run_with_its_name(runs: list[Run], tmp_path: Path) -> None:
    run = Run(tmp_path)
    runs.append(run)
    run.wait_line(r"^accepted 1")
    os.kill(int((tmp_path / "run/service2-consumer.pid").read_text().split()[0]), signal.SIGKILL)
    run.wait_line("service2-consumer ended by itself with exit code -9")
    assert run.process.wait(30) == 1
    assert not list((tmp_path / "run").glob("service1*.pid")), "the rest was stopped"
