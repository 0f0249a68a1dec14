"""gunicorn's settings."""

import gc
import runpy
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from service1_api.settings import STATUS_REQUESTS, STATUS_WAITING

from .conftest import logging_restored

CONFIGURATION = Path(__file__).resolve().parent.parent / "gunicorn.conf.py"


def configuration(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(tempfile, "tempdir", None)
    with logging_restored():
        return runpy.run_path(str(CONFIGURATION))


def test_keepalive_exceeds_that_of_the_load_balancer(environment: pytest.MonkeyPatch) -> None:
    assert configuration(environment)["worker_class"].limits.keepalive_seconds > 60


def test_threads_exceed_the_requests_in_flight(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAX_REQUESTS_IN_FLIGHT", "7")
    assert configuration(environment)["threads"] > 7


def test_requests_for_a_status_have_threads_of_their_own(environment: pytest.MonkeyPatch) -> None:
    without = configuration(environment)["threads"]
    environment.setenv("STATUS_BUCKET", "archive")
    assert configuration(environment)["threads"] == without + STATUS_REQUESTS
    assert STATUS_REQUESTS > STATUS_WAITING


def test_limits_of_the_worker_are_those_of_the_settings(environment: pytest.MonkeyPatch) -> None:
    values = {"REQUEST_HEAD_SECONDS": 3, "REQUEST_BODY_SECONDS": 4, "MAX_REQUEST_BYTES": 5000, "TRUSTED_PROXY_HOPS": 1}
    for name, value in values.items():
        environment.setenv(name, str(value))
    worker = configuration(environment)["worker_class"]
    limits = worker.limits
    found = [limits.head_seconds, limits.body_seconds, limits.max_body_bytes, worker.trusted_proxy_hops]
    assert found == list(values.values())


def test_worker_ignores_ctrl_c(environment: pytest.MonkeyPatch) -> None:
    set_handlers: dict[int, object] = {}
    environment.setattr(signal, "signal", set_handlers.__setitem__)
    configuration(environment)["post_worker_init"](None)
    assert set_handlers == {signal.SIGINT: signal.SIG_IGN}


@pytest.mark.parametrize(("hook", "process"), [("when_ready", "arbiter"), ("post_worker_init", "worker")])
def test_garbage_collections_leave_out_what_was_loaded(
    environment: pytest.MonkeyPatch, hook: str, process: str
) -> None:
    frozen: list[str] = []
    environment.setattr(signal, "signal", lambda *_: None)
    environment.setattr(gc, "freeze", lambda: frozen.append(process))
    configuration(environment)[hook](None)
    assert frozen == [process]
