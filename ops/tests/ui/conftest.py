"""The page as a client of Flask sees it after it opened the address: of an archive in memory, or of the emulator."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache

from pillarbox_ops.ui.access import Access
from pillarbox_ops.ui.emails import Emails
from pillarbox_ops.ui.services import Services
from pillarbox_ops.ui.web import create_app

from ..pipelines import Pipeline
from .fake_archive import NOON, FakeArchive
from .fake_services import FakeServices, running_services
from .pages import Page
from .running import services_of

PORT = 8025


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Return the compiled templates, which each page would compile again."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def fakes(pipeline: Pipeline) -> Iterator[FakeServices]:
    """Yield services that archive at once what they take."""
    with running_services(pipeline) as services:
        yield services


@pytest.fixture
def new_page(pipeline: Pipeline, tmp_path: Path, compiled: FileSystemBytecodeCache) -> Callable[..., Page]:
    """Return a function that makes a page of the pipeline; keyword arguments are more variables."""

    def new(**variables: str) -> Page:
        services = services_of(pipeline.environment | variables, tmp_path)
        access = Access(PORT)
        return Page(_client(services, access, compiled), services, access)

    return new


@pytest.fixture
def fake() -> FakeArchive:
    """Return an archive in memory."""
    return FakeArchive()


@pytest.fixture
def page(fake: FakeArchive, tmp_path: Path, compiled: FileSystemBytecodeCache) -> Page:
    """Return the page of the archive in memory at noon; it knows no queues."""
    services = services_of({"AWS_REGION": "eu-west-1", "S3_BUCKET_NAME": fake.bucket}, tmp_path)
    services.now = lambda: NOON
    services.emails = Emails(fake.archive, services.now)
    access = Access(PORT)
    return Page(_client(services, access, compiled), services, access)


def _client(services: Services, access: Access, compiled: FileSystemBytecodeCache) -> FlaskClient:
    app = create_app(services, access)
    app.jinja_env.bytecode_cache = compiled
    client = app.test_client()
    client.environ_base |= {"HTTP_HOST": f"127.0.0.1:{PORT}"}
    client.get(f"/login?token={access.secret}", base_url=f"http://127.0.0.1:{PORT}")
    return client
