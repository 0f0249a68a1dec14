"""The local stack: start the emulator, create the stack and the token, start the services, stop all in order."""

import fcntl
import secrets
import shlex
import signal
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self

from local_stack import provision
from local_stack.processes import Process, StackError, end_leftovers, require_free_port
from local_stack.programs import Options, Programs

_START_SECONDS = 60
_STOP_SECONDS = 20
_NAMES = (
    "ui",
    "prometheus",
    "service1-api",
    "service2-consumer",
    "file-intake",
    "emulator",
)  # in the order of stopping
_ATTRIBUTES = ("page", "prometheus", "api", "consumer", "file_intake", "emulator")  # of LocalStack, in the same order


class LocalStack:
    """The running pipeline. Its processes are `emulator`, `api`, `consumer`, `file_intake` and, with a port, `page`.

    A test may kill and restart each of them. `page_address` opens the page; it is empty if there is none.
    """

    def __init__(
        self,
        options: Options,
        announce: Callable[[str], None] = lambda _text: None,
        *,
        programs: Programs | None = None,
    ) -> None:
        self.options = options
        self._announce = announce
        self._lock: IO[str] | None = None
        self._programs = programs or Programs(options)
        self.environment: dict[str, str] = {}
        self.emulator = self._programs.emulator()
        self.api: Process
        self.consumer: Process
        self.file_intake: Process
        self.prometheus: Process | None = None
        self.page: Process
        self.page_address = ""

    def start(self) -> None:
        """Start everything and return when the services are ready.

        Raise StackError if a port is taken, the directory is in use, or a process ends or is not ready in time.
        """
        self.prometheus = self._programs.prometheus()
        self._lock_directory()
        end_leftovers(self.options.directory, _NAMES)
        for port, variable in (
            (self.options.api_port, "PORT"),
            (self.options.consumer_port, "CONSUMER_PORT"),
            (self.options.emulator_port, "EMULATOR_PORT"),
            (self.options.file_intake_port, "FILE_INTAKE_PORT"),
            (self.options.prometheus_port, "PROMETHEUS_PORT"),
            (self.options.ui_port, "UI_PORT"),
        ):
            if port:
                require_free_port(port, variable)
        self._announce("[1/4] starting the AWS emulator")
        self._start_emulator()
        self._announce("[2/4] creating queues, dead-letter queues and buckets from infrastructure/pipeline.yaml")
        self._provision()
        self._announce("[3/4] starting service1-api")
        self.api = self.new_api("service1-api", self.options.api_port)
        self.api.start()
        self._announce("[4/4] starting service2-consumer twice: for messages and for files")
        self.consumer = self.new_consumer("service2-consumer", self.options.consumer_port)
        self.consumer.start()
        self.file_intake = self.new_file_intake("file-intake", self.options.file_intake_port)
        self.file_intake.start()
        if self.prometheus:
            self.prometheus.start()
        if self.options.ui_port:
            self._start_page()
        for process in self._started()[:-1]:  # the emulator is ready
            process.wait_ready(_START_SECONDS)

    def stop(self) -> None:
        """Stop the page, Prometheus, the API, the consumers, then the emulator, which saves the queues when it ends."""
        if file_intake := getattr(self, "file_intake", None):
            file_intake.signal(signal.SIGTERM)  # it drains while the others do
        for process in self._started():
            process.stop(_STOP_SECONDS)
        if self._lock:
            self._lock.close()
            self._lock = None

    def kill_services(self) -> None:
        """Kill the services while `stop` waits for them. Their messages are redelivered; the emulator is not killed."""
        for process in self._started():
            if process is not self.emulator:
                process.kill()

    def ended(self) -> Process | None:
        """Return a process that has ended by itself, or None if all are running."""
        return next((process for process in reversed(self._started()) if process.exit_code() is not None), None)

    def new_api(self, name: str, port: int, **settings: str) -> Process:
        """Return an API process of this stack, not started yet; `settings` are environment variables."""
        return self._programs.api(name, port, self.environment, settings)

    def new_consumer(self, name: str, port: int, **settings: str) -> Process:
        """Return a consumer process of this stack, not started yet; `settings` are environment variables."""
        return self._programs.consumer(name, port, self.environment, settings)

    def new_file_intake(self, name: str, port: int, **settings: str) -> Process:
        """Return a consumer process that archives files, not started yet; `settings` are environment variables."""
        files = {"INTAKE": "files", "SQS_QUEUE_URL": self.environment["FILES_QUEUE_URL"]}
        return self.new_consumer(name, port, **files | settings)

    def _started(self) -> list[Process]:
        return [process for name in _ATTRIBUTES if (process := getattr(self, name, None))]

    def _start_page(self) -> None:
        secret = secrets.token_urlsafe(24)
        self.page = self._programs.page(self.environment, secret)
        self.page.start()
        self.page_address = f"http://127.0.0.1:{self.options.ui_port}/login?token={secret}"

    def _start_emulator(self) -> None:
        self.emulator.start()
        self.emulator.wait_ready(_START_SECONDS)

    def _provision(self) -> None:
        aws = self._programs.aws
        new = not provision.is_provisioned(aws)
        resources = provision.create_resources(aws, self.options.template_parameters)
        if new:
            # The emulator saves stack and token only when it ends, but objects at once. Without this restart, killing
            # it would keep the objects and lose the stack.
            self.emulator.stop(_STOP_SECONDS)
            self._start_emulator()
        self.environment = aws | resources | self.options.addresses
        self._write_environment()

    def _lock_directory(self) -> None:
        """Lock the directory for this stack: two emulators with the same state would destroy it."""
        try:
            self.options.directory.mkdir(parents=True, exist_ok=True)
            self._lock = (self.options.directory / "lock").open("a")
        except OSError as exc:
            raise StackError(f"the state cannot be kept in {self.options.directory}: {exc.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise StackError(
                f"another local stack runs in {self.options.directory}; stop it first (Ctrl-C where it runs)"
            ) from None

    def _write_environment(self) -> None:
        names = (*self._programs.aws, *self.options.addresses, *provision.NAMES)
        path = self.options.directory / "stack.env"
        path.touch()
        path.chmod(0o600)  # it contains the token
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
