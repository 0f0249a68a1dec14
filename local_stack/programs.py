"""The programs of the stack: command, environment variables and ready URL of the emulator and of each service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_stack import prometheus
from local_stack.processes import Process

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_DIRECTORY = REPOSITORY / ".local"

_REGION = "us-east-1"
_NO_PROXY = "127.0.0.1,localhost"


@dataclass(frozen=True, slots=True)
class Options:
    """The directory of the state, the ports on 127.0.0.1, and changes to the template's and services' defaults.

    Prometheus runs if it has a port. `service_programs` is the folder of the programs of an environment that both
    services run in, instead of their own.
    """

    directory: Path = DEFAULT_DIRECTORY
    api_port: int = 8080
    consumer_port: int = 8081
    emulator_port: int = 4566
    file_intake_port: int = 8083
    prometheus_port: int | None = None
    ui_port: int = 0  # no page
    template_parameters: Mapping[str, str] = field(default_factory=dict)
    service_environment: Mapping[str, str] = field(default_factory=dict)
    service_programs: Path | None = None

    @property
    def addresses(self) -> dict[str, str]:
        """Return the variables that name the services' base URLs."""
        ports = {
            "API_URL": self.api_port,
            "CONSUMER_URL": self.consumer_port,
            "FILE_INTAKE_URL": self.file_intake_port,
        }
        return {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


class Programs:
    """Describes the processes of a stack without starting them.

    A service gets `resources` (variables that name its queues, buckets and token), then `settings`, then the
    `service_environment` of the options; later ones take precedence.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        endpoint = f"http://127.0.0.1:{options.emulator_port}"
        self.aws = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": _REGION,
            "AWS_DEFAULT_REGION": _REGION,  # the name that boto3 and version 1 of the aws CLI read
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",  # the emulator accepts any key
        }
        # The services must not see the user's own AWS settings: a profile would take precedence over these keys.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environment = (
            inherited
            | self.aws
            | {"AWS_EC2_METADATA_DISABLED": "true"}
            | {
                name: f"{inherited[name]},{_NO_PROXY}" if inherited.get(name) else _NO_PROXY
                for name in ("NO_PROXY", "no_proxy")
            }
        )

    def emulator(self) -> Process:
        """Return the AWS emulator, which keeps its state in the directory of the options."""
        state = self._options.directory / "emulator"
        settings = {
            "GATEWAY_PORT": str(self._options.emulator_port),
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
            environment=self._environment | settings,
            directory=self._options.directory,
            working_directory=REPOSITORY,
            ready_url=f"{self.aws['AWS_ENDPOINT_URL']}/_ministack/ready",
        )

    def api(self, name: str, port: int, resources: Mapping[str, str], settings: Mapping[str, str]) -> Process:
        """Return a process of service1-api."""
        program = (self._options.service_programs or REPOSITORY / ".venvs/service1-api/bin") / "gunicorn"
        command = (program, "--config", "gunicorn.conf.py", "service1_api.wsgi:app")
        return self._service(name, "service1-api", command, port, {**resources, "DRAIN_SECONDS": "0", **settings})

    def consumer(self, name: str, port: int, resources: Mapping[str, str], settings: Mapping[str, str]) -> Process:
        """Return a process of service2-consumer."""
        program = (self._options.service_programs or REPOSITORY / ".venvs/service2-consumer/bin") / "python"
        # A long poll is never aborted, so it must be short for Ctrl-C to end the stack within seconds.
        defaults = {"LONG_POLL_SECONDS": "1", "MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"}
        command = (program, "-m", "service2_consumer")
        return self._service(name, "service2-consumer", command, port, {**resources, **defaults, **settings})

    def prometheus(self) -> Process | None:
        """Return Prometheus, which scrapes the services; None without a port. Raise StackError if it is missing."""
        options = self._options
        if options.prometheus_port is None:
            return None
        services = (options.api_port, options.consumer_port, options.file_intake_port)
        configured = prometheus.configuration(dict(zip(prometheus.SERVICES, services, strict=True)))
        return prometheus.new_prometheus(options.directory, options.prometheus_port, configured)

    def page(self, resources: Mapping[str, str], secret: str) -> Process:
        """Return a process of `pillarbox ui`, whose address has the secret."""
        port = self._options.ui_port
        return Process(
            "ui",
            (REPOSITORY / ".venvs/ops/bin/pillarbox", "ui", "--port", str(port)),
            environment={**self._environment, **resources, "UI_TOKEN": secret},
            directory=self._options.directory,
            working_directory=REPOSITORY,
            ready_url=f"http://127.0.0.1:{port}/ready",
        )

    def _service(
        self, name: str, folder: str, command: tuple[str | Path, ...], port: int, settings: Mapping[str, str]
    ) -> Process:
        return Process(
            name,
            command,
            environment={
                **self._environment,
                "BIND_HOST": "127.0.0.1",
                "PORT": str(port),
                **settings,
                **self._options.service_environment,
            },
            directory=self._options.directory,
            working_directory=REPOSITORY / folder,
            ready_url=f"http://127.0.0.1:{port}/ready",
        )
