import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pillarbox import logs
from pillarbox_ops.errors import ExitCode

from ..fake_http import FakeServer, Reply, Request, serving
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]
OK: Reply = (200, b"{}", {})


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command sends the log of its process to standard error as JSON."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in logs.PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def api() -> Iterator[FakeServer]:
    with serving() as server:
        server.replies = [OK]
        yield server


@pytest.fixture
def probed(run: Run, api: FakeServer, pipeline: Pipeline) -> Run:
    """Run the command with a token in SSM; more variables replace those of a complete environment."""
    name = f"/{pipeline.name}/token"
    pipeline.ssm.put_parameter(Name=name, Value="newest\nolder\n", Type="SecureString")
    return lambda *options, **variables: run(
        "probe", *options, **{"API_URL": api.url, "SSM_PARAMETER_NAME": name, **variables}
    )


def _line(ran: Ran) -> dict[str, Any]:
    assert ran.err.count("\n") == 1, ran.err
    found: dict[str, Any] = json.loads(ran.err)
    return found


def test_a_pipeline_that_works_gives_one_line_and_exit_code_0(probed: Run, api: FakeServer) -> None:
    ran = probed()
    line = _line(ran)
    assert (ran.code, ran.out) == (ExitCode.DONE, "")
    assert (line["service"], line["level"], line["event"]) == ("probe", "INFO", "probe succeeded")
    (posted,) = [request for request in api.requests if request.method == "POST"]
    assert line["message_id"] == posted.headers["Idempotency-Key"]
    assert (line["ok"], line["checks_failed"]) == (True, [])
    assert line["archived_ms"] >= line["accepted_ms"] >= 0


def test_neither_the_token_nor_the_email_is_logged(probed: Run, api: FakeServer) -> None:
    ran = probed()
    (posted,) = [request for request in api.requests if request.method == "POST"]
    assert posted.headers["Authorization"] == "Bearer newest"
    assert "newest" not in ran.err
    assert not [value for value in json.loads(posted.body)["data"].values() if value in ran.err]


def test_an_api_that_refuses_is_exit_code_1(probed: Run, api: FakeServer) -> None:
    def answer(request: Request) -> Reply:
        return (401, b'{"code": "unauthorized"}', {}) if request.method == "POST" else OK

    api.answer = answer
    ran = probed()
    assert (ran.code, _line(ran)["level"]) == (ExitCode.FAILED, "ERROR")
    assert _line(ran)["error"] == "the API did not accept the e-mail: unauthorized"


def test_an_email_that_is_not_archived_in_time_is_exit_code_1(probed: Run, api: FakeServer) -> None:
    def answer(request: Request) -> Reply:
        return (404, b'{"code": "not_archived"}', {}) if "/api/messages/" in request.path else OK

    api.answer = answer
    ran = probed("--timeout", "1")
    assert ran.code == ExitCode.FAILED
    assert _line(ran)["error"] == "accepted, and not archived within 1 s"
    assert _line(ran)["accepted_ms"] >= 0


def test_a_check_that_fails_is_exit_code_1_and_is_named(probed: Run, pipeline: Pipeline) -> None:
    ran = probed(SQS_DLQ_URL=f"{pipeline.dlq_url}-missing")
    line = _line(ran)
    assert ran.code == ExitCode.FAILED
    (failed,) = line["checks_failed"]
    assert failed.startswith("dlq: ")
    assert line["archived_ms"] >= 0


@pytest.mark.parametrize("missing", ["API_URL", "SSM_PARAMETER_NAME"])
def test_what_is_not_set_is_named_in_the_line(probed: Run, missing: str) -> None:
    ran = probed(**{missing: ""})
    assert ran.code == ExitCode.FAILED
    assert "is not set" in _line(ran)["error"]
    assert any(f"{missing} is not set" in failed for failed in _line(ran)["checks_failed"])


@pytest.mark.parametrize("seconds", ["0", "-1", "4000", "soon"])
def test_the_timeout_is_seconds_up_to_an_hour(run: Run, seconds: str) -> None:
    assert run("probe", "--timeout", seconds).code == ExitCode.USAGE
