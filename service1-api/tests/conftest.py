"""The application under test with fakes of its dependencies."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from pillarbox.settings import variables
from pillarbox.tracing import NO_TRACER, Tracer
from service1_api.app import create_app
from service1_api.metrics import Metrics
from service1_api.settings import Settings
from service1_api.status import NOT_SET, StatusSource

from .aws_stub import AwsStub
from .fakes import FakePublisher, FakeTokens
from .in_process import InProcessServer, serving

MAX_REQUEST_BYTES = 2 * 1024 * 1024


@dataclass
class Service:
    """The application and the fakes that it uses."""

    tokens: FakeTokens = field(default_factory=FakeTokens)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    draining: bool = False
    trusted_proxy_hops: int = 0
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_inflated_bytes: int = 32 * 1024 * 1024
    max_payload_bytes: int = 0
    status: StatusSource | str = NOT_SET
    tracer: Tracer = NO_TRACER

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.registry)
        self.app = create_app(
            tokens=self.tokens,
            publisher=self.publisher,
            metrics=self.metrics,
            metrics_registry=lambda: self.registry,
            draining=lambda: self.draining,
            max_request_bytes=self.max_request_bytes,
            max_inflated_bytes=self.max_inflated_bytes,
            max_payload_bytes=self.max_payload_bytes,
            status=self.status,
            max_requests_in_flight=4,
            trusted_proxy_hops=self.trusted_proxy_hops,
            tracer=self.tracer,
        )

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.client


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set only the required settings."""
    for name, setting in Settings.model_fields.items():
        for variable in variables(name, setting):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("SQS_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/emails")
    return monkeypatch


@contextlib.contextmanager
def logging_restored() -> Iterator[None]:
    """Undo what `logs.configure` and `logs.buffer` change."""
    names = (
        "",
        "pillarbox",
        "pillarbox_aws",
        "pillarbox_otel",
        "service1_api",
        "service2_consumer",
        "botocore.credentials",
    )
    loggers = [logging.getLogger(name) for name in names]
    levels, handlers = [logger.level for logger in loggers], list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = True


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsStub]:
    """One fake AWS for the tests of a file that start the service."""
    stub = AwsStub()
    yield stub
    stub.close()


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of an AWS in this process. Tests use names of their own; `mock_aws` empties it."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # each worker would import it to collect the tests

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def hasty() -> Iterator[InProcessServer]:
    """A server with short deadlines, for requests that never arrive completely."""
    limits = {"max_body_bytes": MAX_REQUEST_BYTES, "max_connections": 1000}
    with serving(Service().app, head_seconds=1, body_seconds=1, **limits) as server:
        yield server
