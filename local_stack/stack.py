"""The pieces put together: start the emulator, create the stack and the token, start the services, stop in order."""

import fcntl
import os
import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from local_stack import prometheus, provision
from local_stack.processes import Process, StackError, end_leftovers, require_free_port

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_DIRECTORY = REPOSITORY / ".local"

_REGION = "us-east-1"
_START_SECONDS = 60
_STOP_SECONDS = 20
_NAMES = ("prometheus", "service1-api", "service2-consumer", "file-intake", "emulator")  # in the order of stopping
_ATTRIBUTES = ("prometheus", "api", "consumer", "file_intake", "emulator")  # those of LocalStack, in the same order
_HERE = "127.0.0.1,localhost"


@dataclass(frozen=True, slots=True)
class Options:
    """Where the state lives, the ports on 127.0.0.1, and what differs from the template's and services' defaults.

    Prometheus runs where it has a port.
    """

    directory: Path = DEFAULT_DIRECTORY
    api_port: int = 8080
    consumer_port: int = 8081
    emulator_port: int = 4566
    file_intake_port: int = 8083
    prometheus_port: int | None = None
    template_parameters: Mapping[str, str] = field(default_factory=dict)
    service_environment: Mapping[str, str] = field(default_factory=dict)


class LocalStack:
    """The running pipeline. Its processes are `emulator`, `api`, `consumer` and `file_intake`.

    A test may kill and start each.
    """

    def __init__(self, options: Options, announce: Callable[[str], None] = lambda _text: None) -> None:
        self.options = options
        self._announce = announce
        self._lock: IO[str] | None = None
        self._endpoint = f"http://127.0.0.1:{options.emulator_port}"
        # Nothing of the user's own AWS set-up may reach the services: a profile would win over these keys.
        outer = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._aws = {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": _REGION,
            "AWS_DEFAULT_REGION": _REGION,  # the name that boto3 and version 1 of the aws CLI read
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",  # the emulator takes any
        }
        self._base_environment = (
            outer
            | self._aws
            | {"AWS_EC2_METADATA_DISABLED": "true"}
            | {name: f"{outer[name]},{_HERE}" if outer.get(name) else _HERE for name in ("NO_PROXY", "no_proxy")}
        )
        self.environment: dict[str, str] = {}
        self.emulator = self._emulator()
        self.api: Process
        self.consumer: Process
        self.file_intake: Process
        self.prometheus: Process | None = self._prometheus()

    def start(self) -> None:
        """Start everything and return when the services are ready.

        Raises StackError when a port is taken, the directory is in use, or a process ends or is not ready in time.
        """
        self._take_directory()
        end_leftovers(self.options.directory, _NAMES)
        for port, variable in (
            (self.options.api_port, "PORT"),
            (self.options.consumer_port, "CONSUMER_PORT"),
            (self.options.emulator_port, "EMULATOR_PORT"),
            (self.options.file_intake_port, "FILE_INTAKE_PORT"),
            (self.options.prometheus_port, "PROMETHEUS_PORT"),
        ):
            if port is not None:
                require_free_port(port, variable)
        self._announce("[1/4] starting the AWS emulator")
        self._start_emulator()
        self._announce("[2/4] creating queues, dead-letter queues and buckets from infrastructure/pipeline.yaml")
        self._provision()
        self._announce("[3/4] starting service1-api")
        self.api = self.new_api("service1-api", self.options.api_port)
        self.api.start()
        self._announce("[4/4] starting service2-consumer, and once more for files")
        self.consumer = self.new_consumer("service2-consumer", self.options.consumer_port)
        self.consumer.start()
        self.file_intake = self.new_file_intake("file-intake", self.options.file_intake_port)
        self.file_intake.start()
        if self.prometheus:
            self.prometheus.start()
        for process in filter(None, (self.api, self.consumer, self.file_intake, self.prometheus)):
            process.wait_ready(_START_SECONDS)

    def stop(self) -> None:
        """Stop what runs: first the API, then the consumers, the emulator last, for it saves the queues as it ends."""
        if file_intake := getattr(self, "file_intake", None):
            file_intake.signal(signal.SIGTERM)  # it drains while the others do
        for process in self._started():
            process.stop(_STOP_SECONDS)
        if self._lock:
            self._lock.close()
            self._lock = None

    def hurry(self) -> None:
        """While `stop` waits: kill the services, whose messages come again; the emulator still saves its state."""
        for process in self._started():
            if process is not self.emulator:
                process.kill()

    def _started(self) -> list[Process]:
        return [process for name in _ATTRIBUTES if (process := getattr(self, name, None))]

    def _start_emulator(self) -> None:
        self.emulator.start()
        self.emulator.wait_ready(_START_SECONDS)

    def _provision(self) -> None:
        new = not provision.is_provisioned(self._aws)
        resources = provision.create_resources(self._aws, self.options.template_parameters)
        if new:  # it saves the stack and the token as it ends, but objects at once: a kill must not leave these alone
            self.emulator.stop(_STOP_SECONDS)
            self._start_emulator()
        self.environment = self._aws | resources | {"API_URL": f"http://127.0.0.1:{self.options.api_port}"}
        self._write_environment()

    def dead(self) -> Process | None:
        """Give a process that ended by itself, None while all run."""
        return next((process for process in reversed(self._started()) if process.exit_code() is not None), None)

    def new_api(self, name: str, port: int, **settings: str) -> Process:
        """Describe an API process of this stack, not started yet; `settings` are environment variables."""
        program = REPOSITORY / ".venvs/service1-api/bin/gunicorn"
        command = (program, "--config", "gunicorn.conf.py", "service1_api.wsgi:app")
        return self._service(name, "service1-api", command, port, {"DRAIN_SECONDS": "0"} | settings)

    def new_consumer(self, name: str, port: int, **settings: str) -> Process:
        """Describe a consumer process of this stack, not started yet; `settings` are environment variables."""
        program = REPOSITORY / ".venvs/service2-consumer/bin/python"
        # A long poll is never aborted, so a short one is what lets Ctrl-C end within seconds.
        short = {"LONG_POLL_SECONDS": "1", "MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"}
        return self._service(name, "service2-consumer", (program, "-m", "service2_consumer"), port, short | settings)

    def new_file_intake(self, name: str, port: int, **settings: str) -> Process:
        """Describe a process of the consumer that archives files, not started yet; `settings` as for a consumer."""
        files = {"INTAKE": "files", "SQS_QUEUE_URL": self.environment["FILES_QUEUE_URL"]}
        return self.new_consumer(name, port, **files | settings)

    def _service(
        self, name: str, folder: str, command: tuple[str | Path, ...], port: int, settings: dict[str, str]
    ) -> Process:
        here = {"BIND_HOST": "127.0.0.1", "PORT": str(port)}
        return Process(
            name,
            command,
            environment=self._base_environment
            | self.environment
            | here
            | settings
            | dict(self.options.service_environment),
            directory=self.options.directory,
            working_directory=REPOSITORY / folder,
            ready_url=f"http://127.0.0.1:{port}/ready",
        )

    def _prometheus(self) -> Process | None:
        options = self.options
        if options.prometheus_port is None:
            return None
        services = (options.api_port, options.consumer_port, options.file_intake_port)
        configured = prometheus.configuration(dict(zip(prometheus.SERVICES, services, strict=True)))
        return prometheus.new_prometheus(options.directory, options.prometheus_port, configured)

    def _emulator(self) -> Process:
        state = self.options.directory / "emulator"
        port = str(self.options.emulator_port)
        settings = {
            "GATEWAY_PORT": port,
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(state / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(state / "s3"),
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }
        return Process(
            "emulator",
            (REPOSITORY / ".venvs/local_stack/bin/python", "-m", "ministack"),
            environment=self._base_environment | settings,
            directory=self.options.directory,
            working_directory=REPOSITORY,
            ready_url=f"{self._endpoint}/_ministack/ready",
        )

    def _take_directory(self) -> None:
        """Hold the directory for this stack alone: two emulators over one state would destroy it."""
        try:
            self.options.directory.mkdir(parents=True, exist_ok=True)
            self._lock = (self.options.directory / "lock").open("a")
        except OSError as exc:
            raise StackError(f"{self.options.directory} cannot hold the state: {exc.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise StackError(
                f"another local stack runs in {self.options.directory}; stop it first (Ctrl-C where it runs)"
            ) from None

    def _write_environment(self) -> None:
        names = (*self._aws, "API_URL", *provision.NAMES)
        path = self.options.directory / "stack.env"
        path.touch()
        path.chmod(0o600)  # it holds the token
        path.write_text("".join(f"export {name}={shlex.quote(self.environment[name])}\n" for name in names))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
