"""The local stack with fake processes: the order of starting and stopping, and what it refuses."""

import shlex
import signal
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from common.testing.ports import free_port
from local_stack import provision
from local_stack.processes import Process, StackError
from local_stack.programs import Options, Programs
from local_stack.stack import LocalStack

RESOURCES = {name: f"the {name}'s value" for name in provision.NAMES}


class FakeProcess(Process):
    """Records its calls in a list that all processes of a stack share, and runs nothing."""

    def __init__(self, name: str, directory: Path, calls: list[str], environment: Mapping[str, str]) -> None:
        super().__init__(
            name, ["true"], environment=environment, directory=directory, working_directory=directory, ready_url=""
        )
        self.calls = calls
        self.settings = environment
        self.code: int | None = None

    def start(self) -> None:
        self.calls.append(f"start {self.name}")

    def wait_ready(self, timeout_seconds: float) -> None:
        if self.code is not None:
            raise StackError(f"{self.name} ended after less than {timeout_seconds} s")
        self.calls.append(f"ready {self.name}")

    def exit_code(self) -> int | None:
        return self.code

    def signal(self, number: signal.Signals) -> None:
        self.calls.append(f"{number.name} {self.name}")

    def stop(self, timeout_seconds: float) -> int | None:
        assert timeout_seconds > 0
        self.calls.append(f"stop {self.name}")
        return 0

    def kill(self) -> None:
        self.calls.append(f"kill {self.name}")


class FakePrograms(Programs):
    """Describes fake processes; those in `broken` end at once."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.directory = options.directory
        self.calls: list[str] = []
        self.broken: set[str] = set()

    def _process(self, name: str, environment: Mapping[str, str]) -> FakeProcess:
        process = FakeProcess(name, self.directory, self.calls, environment)
        process.code = 1 if name in self.broken else None
        return process

    def emulator(self) -> Process:
        return self._process("emulator", {})

    def api(self, name: str, port: int, resources: Mapping[str, str], settings: Mapping[str, str]) -> Process:
        return self._process(name, {**resources, "PORT": str(port), **settings})

    def consumer(self, name: str, port: int, resources: Mapping[str, str], settings: Mapping[str, str]) -> Process:
        return self._process(name, {**resources, "PORT": str(port), **settings})

    def page(self, resources: Mapping[str, str], secret: str) -> Process:
        return self._process("ui", {**resources, "UI_TOKEN": secret})


@pytest.fixture(autouse=True)
def provisioned(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the emulator has the stack already; creating the resources returns RESOURCES."""
    answers = [False]
    monkeypatch.setattr(provision, "is_provisioned", lambda _environment: answers[-1])
    monkeypatch.setattr(provision, "create_resources", lambda _environment, _parameters: RESOURCES)
    return answers


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(tmp_path, free_port(), free_port(), free_port(), free_port())


@pytest.fixture
def programs(options: Options) -> FakePrograms:
    return FakePrograms(options)


@pytest.fixture
def stack(options: Options, programs: FakePrograms) -> LocalStack:
    return LocalStack(options, programs=programs)


def test_services_start_after_the_emulator_and_are_ready_at_the_end(
    stack: LocalStack, programs: FakePrograms, provisioned: list[bool]
) -> None:
    provisioned.append(True)
    with stack:
        assert programs.calls == [
            *("start emulator", "ready emulator"),
            *("start service1-api", "start service2-consumer", "start file-intake"),
            *("ready service1-api", "ready service2-consumer", "ready file-intake"),
        ]


def test_emulator_saves_a_new_stack_by_a_restart(stack: LocalStack, programs: FakePrograms) -> None:
    with stack:
        emulator = ["start emulator", "ready emulator"]
        assert programs.calls[:6] == [*emulator, "stop emulator", *emulator, "start service1-api"]


def test_start_announces_its_steps(options: Options, programs: FakePrograms) -> None:
    lines: list[str] = []
    with LocalStack(options, lines.append, programs=programs):
        assert [line[:5] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]


def test_emulator_stops_last(stack: LocalStack, programs: FakePrograms) -> None:
    stack.start()
    programs.calls.clear()
    stack.stop()
    assert programs.calls == [
        "SIGTERM file-intake",
        *("stop service1-api", "stop service2-consumer", "stop file-intake", "stop emulator"),
    ]


def test_what_was_started_is_stopped_if_a_service_does_not_start(stack: LocalStack, programs: FakePrograms) -> None:
    programs.broken.add("service2-consumer")
    with pytest.raises(StackError, match="service2-consumer ended"), stack:
        pass
    assert programs.calls[-4:] == [
        *("stop service1-api", "stop service2-consumer", "stop file-intake", "stop emulator"),
    ]


def test_page_starts_last_stops_first_and_has_the_secret_of_its_address(
    options: Options, programs: FakePrograms
) -> None:
    stack = LocalStack(replace(options, ui_port=free_port()), programs=programs)
    with stack:
        assert [call for call in programs.calls if call.startswith("start")][-1] == "start ui"
        assert "ready ui" in programs.calls
        assert isinstance(stack.page, FakeProcess)
        secret = stack.page.settings["UI_TOKEN"]
        assert len(secret) >= 32
        assert stack.page_address == f"http://127.0.0.1:{stack.options.ui_port}/login?token={secret}"
        assert secret not in (options.directory / "stack.env").read_text()
        programs.calls.clear()
    assert next(call for call in programs.calls if call.startswith("stop")) == "stop ui"


def test_kill_services_spares_the_emulator(stack: LocalStack, programs: FakePrograms) -> None:
    with stack:
        programs.calls.clear()
        stack.kill_services()
        assert programs.calls == ["kill service1-api", "kill service2-consumer", "kill file-intake"]


@pytest.mark.parametrize("name", ["emulator", "api", "consumer", "file_intake"])
def test_process_that_ends_by_itself_is_found(stack: LocalStack, name: str) -> None:
    with stack:
        assert stack.ended() is None
        process = getattr(stack, name)
        process.code = -9
        assert stack.ended() is process


def test_file_intake_is_a_consumer_of_the_files_queue(stack: LocalStack) -> None:
    with stack:
        process = stack.new_file_intake("another", 8099, LANES="1")
        assert isinstance(process, FakeProcess)
        expected = {"INTAKE": "files", "SQS_QUEUE_URL": RESOURCES["FILES_QUEUE_URL"], "PORT": "8099", "LANES": "1"}
        assert process.settings.items() >= expected.items()


def test_environment_file_is_private_and_readable_by_a_shell(stack: LocalStack, options: Options) -> None:
    with stack:
        path = options.directory / "stack.env"
        assert path.stat().st_mode & 0o077 == 0
        words = [shlex.split(line) for line in path.read_text().splitlines()]
        values = dict(assignment.split("=", 1) for _export, assignment in words)
        assert values.items() >= RESOURCES.items()
        assert values["API_URL"] == f"http://127.0.0.1:{options.api_port}"


def test_directory_of_a_running_stack_is_refused_until_it_stops(stack: LocalStack, options: Options) -> None:
    second = LocalStack(options, programs=FakePrograms(options))
    with stack, pytest.raises(StackError, match="another local stack runs in"):
        second.start()
    with second:
        assert second.ended() is None


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = Options(tmp_path / "file/state", free_port(), free_port(), free_port(), free_port())
    with pytest.raises(StackError, match=r"the state cannot be kept in .*file/state: Not a directory"):
        LocalStack(options, programs=FakePrograms(options)).start()


@pytest.mark.parametrize(
    ("field", "variable"),
    [
        ("api_port", "PORT"),
        ("consumer_port", "CONSUMER_PORT"),
        ("emulator_port", "EMULATOR_PORT"),
        ("file_intake_port", "FILE_INTAKE_PORT"),
        ("ui_port", "UI_PORT"),
    ],
)
def test_port_in_use_is_refused_with_its_variable(
    stack: LocalStack, programs: FakePrograms, field: str, variable: str
) -> None:
    stack.options = replace(stack.options, ui_port=free_port())
    port = getattr(stack.options, field)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(StackError, match=rf"port {port} cannot be used .* {variable}=\d+ make run"),
        stack,
    ):
        pass
    assert "start emulator" not in programs.calls
