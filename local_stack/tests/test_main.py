"""`make run` in this process, with a fake stack: options, signals, output and exit codes."""

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_stack import __main__ as program
from local_stack import sample
from local_stack.processes import Process, StackError
from local_stack.programs import DEFAULT_DIRECTORY, Options

PORTS = ("PORT", "CONSUMER_PORT", "EMULATOR_PORT", "FILE_INTAKE_PORT", "UI_PORT")
TRIP = sample.RoundTrip(200, '{"message_id": "1"}', "messages/1.json", {"email_data": {"email_subject": "Hi"}}, 0.042)


class FakeStack:
    """A stack that runs nothing; `while_starting` and `while_stopping` are called in its methods."""

    def __init__(self) -> None:
        self.options = Options()
        self.page_address = ""
        self.environment = {"API_URL": "http://127.0.0.1:1", "S3_BUCKET_NAME": "archive", "API_TOKEN": "secret-token"}
        self.calls: list[str] = []
        self.while_starting: Callable[[], object] = lambda: None
        self.while_stopping: Callable[[], object] = lambda: None

    def start(self) -> None:
        self.calls.append("start")
        self.while_starting()

    def stop(self) -> None:
        self.calls.append("stop")
        self.while_stopping()

    def kill_services(self) -> None:
        self.calls.append("kill services")

    def ended(self) -> Process | None:
        directory = self.options.directory
        return EndedProcess(
            "emulator", [], environment={}, directory=directory, working_directory=directory, ready_url=""
        )


class EndedProcess(Process):
    """A process that has been killed, without a log."""

    def exit_code(self) -> int | None:
        return -9


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handlers_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what the program sets for the process, and start with neither arguments nor ports."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    monkeypatch.setattr(sys, "argv", ["local_stack"])
    for name in PORTS:
        monkeypatch.delenv(name, raising=False)
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeStack:
    fake = FakeStack()

    def new_stack(options: Options, announce: Callable[[str], None]) -> FakeStack:
        fake.options = options
        announce("[1/4]")
        return fake

    monkeypatch.setattr(program, "LocalStack", new_stack)
    monkeypatch.setattr(sys, "argv", ["local_stack", "--directory", str(tmp_path / "the state")])
    monkeypatch.setattr(sample, "round_trip", lambda _environment: TRIP)
    return fake


def test_ports_and_directory_have_defaults() -> None:
    assert program._options() == Options(DEFAULT_DIRECTORY, 8080, 8081, 4566, 8083, ui_port=8025)


def test_ports_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(PORTS, start=9001):
        monkeypatch.setenv(name, str(number))
    assert program._options() == Options(DEFAULT_DIRECTORY, 9001, 9002, 9003, 9004, ui_port=9005)


@pytest.mark.parametrize("port", ["", "0"])
def test_page_is_switched_off_by_an_empty_port_or_0(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("UI_PORT", port)
    assert program._options().ui_port == 0


@pytest.mark.parametrize(
    ("variable", "port"),
    [
        *((variable, port) for variable in PORTS for port in ("65536", "http", "-1", "٨٠")),  # digits, but not of ASCII
        *((variable, "0") for variable in PORTS if variable != "UI_PORT"),
    ],
)
def test_value_that_is_no_port_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, port: str
) -> None:
    monkeypatch.setenv(variable, port)
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert f"error: {variable} must be a port number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("variable", PORTS[1:])
def test_two_equal_ports_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    monkeypatch.setenv(variable, "8080")
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert "must be different ports" in capsys.readouterr().err


def test_prometheus_has_a_port_if_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS", "0")
    assert program._options().prometheus_port is None
    monkeypatch.setenv("PROMETHEUS", "1")
    assert program._options().prometheus_port == 9090
    monkeypatch.setenv("PROMETHEUS_PORT", "9009")
    assert program._options().prometheus_port == 9009


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [("PROMETHEUS", "yes", "PROMETHEUS must be 1 or 0"), ("PROMETHEUS_PORT", "8080", "must be different ports")],
)
def test_wrong_wish_for_prometheus_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv("PROMETHEUS", "1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert complaint in capsys.readouterr().err


def test_stack_that_does_not_start_is_stopped_and_exits_1(stack: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise StackError("the reason")

    stack.while_starting = fail
    assert program.main() == 1
    assert stack.calls == ["start", "stop"]
    assert capsys.readouterr().out.splitlines()[-1] == "local_stack: the reason"


def test_process_that_ends_by_itself_stops_the_stack(stack: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main() == 1
    assert stack.calls == ["start", "stop"]
    assert "emulator ended by itself with exit code -9" in capsys.readouterr().out


def test_round_trip_and_commands_are_shown_without_the_token(
    stack: FakeStack, capsys: pytest.CaptureFixture[str]
) -> None:
    program.main()
    out = capsys.readouterr().out
    assert "  object   s3://archive/messages/1.json\n" in out
    assert "           email_subject: Hi\n" in out
    assert "  stored   42 ms after it was accepted\n" in out
    assert "secret-token" not in out


@pytest.mark.parametrize("address", ["http://127.0.0.1:8025/login?token=the-secret", ""])
def test_address_of_the_page_is_shown_if_there_is_one(
    stack: FakeStack, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    stack.page_address = address
    program.main()
    assert ("in a browser" in (out := capsys.readouterr().out)) == bool(address)
    assert f"\n  {address}\n" in out or not address


def test_curl_command_posts_a_valid_email(stack: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    program.main()
    _, found, rest = capsys.readouterr().out.partition("  . ")
    command = shlex.split((found + rest).partition("\n\n")[0].replace("\\\n", ""))
    assert command[1] == f"{stack.options.directory / 'stack.env'};"
    email: Any = json.loads(command[command.index("-d") + 1])["data"]
    assert set(email) == {"email_subject", "email_sender", "email_timestream", "email_content"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_stops_the_stack_and_exits_0(
    stack: FakeStack, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    stack.while_starting = lambda: signal.raise_signal(number)
    assert program.main() == 0
    assert stack.calls == ["start", "stop"]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "stopping (stored and queued e-mails are kept for the next run)",
        "stopped",
    ]


def test_second_signal_kills_the_services(stack: FakeStack) -> None:
    stack.while_starting = stack.while_stopping = interrupt
    assert program.main() == 0
    assert stack.calls == ["start", "stop", "kill services"]


def test_stack_is_stopped_if_nobody_reads_the_output(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(_text: str) -> None:
        raise BrokenPipeError

    stack.while_starting = lambda: monkeypatch.setattr(program, "_say", say)
    with monkeypatch.context() as output:
        output.setattr(sys, "stdout", sys.stdout)
        assert program.main() == 1
        sys.stdout.close()
    assert stack.calls == ["start", "stop"]
