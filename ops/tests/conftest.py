"""An emulator that all tests of a worker share, pipelines on it, and the command line run in this process."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.testing.emulator import running_emulator
from pillarbox_ops import cli, scan

from .pipelines import Pipeline, Ran
from .shared_clients import share


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the variables of an emulator that all tests of a worker share."""
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield environment


@pytest.fixture(autouse=True)
def shared_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands with the same settings use the same clients."""
    share(monkeypatch)


@pytest.fixture
def new_pipeline(aws: dict[str, str], tmp_path: Path) -> Callable[[], Pipeline]:
    """Return a function that makes a pipeline of its own."""
    names = iter(range(1000))
    test = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]
    return lambda: Pipeline(aws, f"{test}-{next(names)}")


@pytest.fixture
def pipeline(new_pipeline: Callable[[], Pipeline]) -> Pipeline:
    """Return a pipeline."""
    return new_pipeline()


@pytest.fixture
def run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ran]:
    """Return a function that runs `pillarbox` against the pipeline; keyword arguments are environment variables."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **variables: str) -> Ran:
        environment = pipeline.environment | variables
        with monkeypatch.context() as patch:
            for name in set(os.environ) - set(environment):
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = cli.run(list(arguments))
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture(autouse=True)
def short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an empty queue say so at once: the emulator has no servers of which a poll could ask only some."""
    monkeypatch.setattr(scan, "WAIT_SECONDS", 0)
