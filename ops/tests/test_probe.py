import json
import logging
import re
import threading
from collections.abc import Callable, Sequence

import pytest
from botocore.exceptions import ClientError

from pillarbox.probe import PROBE_SENDER, is_probe
from pillarbox_ops.checks import Result
from pillarbox_ops.errors import OpsError
from pillarbox_ops.probe import Outcome, Probe, probe_email
from pillarbox_ops.sending import Api

from .fake_http import FakeServer, Reply, Request, serving

OK: Reply = (200, b"{}", {})
NOT_YET: Reply = (404, b'{"code": "not_archived"}', {})
LOST: Reply = (0, b"", {})
PASSED = Result("queue", "sqs:GetQueueAttributes", ok=True, detail="0 waiting")
FAILED = Result("dlq", "sqs:GetQueueAttributes", ok=False, detail="sqs:GetQueueAttributes is missing")
OPEN = Result("api", "https://mail.example.com/ready", ok=None, detail="an ingress does not route it")


class _Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _run(
    *replies: Reply, results: Sequence[Result] = (PASSED,), connect: Callable[[str], Api] | None = None
) -> tuple[Outcome, FakeServer]:
    time = _Time()
    with serving() as server:
        server.replies = list(replies) or [OK]
        connect = connect or (lambda url: Api(url, "a-token", clock=time.clock, sleep=time.sleep))
        opened = connect
        probe = Probe(lambda: results, lambda: opened(server.url), 60, clock=time.clock, sleep=time.sleep)
        return probe.run(), server


def _asked(server: FakeServer) -> list[tuple[str, str]]:
    return [(request.method, request.path) for request in server.requests]


def test_an_email_with_both_marks_of_a_probe_is_sent_and_waited_for() -> None:
    outcome, server = _run(OK, NOT_YET, NOT_YET, OK)
    posted, *asked = server.requests
    assert outcome.ok
    assert outcome.message_id == posted.headers["Idempotency-Key"]
    assert is_probe(outcome.message_id, json.loads(posted.body)["data"]["email_sender"])
    assert {(request.path, request.headers["Prefer"]) for request in asked} == {
        (f"/api/messages/{outcome.message_id}", "wait=5")
    }
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer a-token"}
    assert (outcome.accepted_ms, outcome.archived_ms) == (0, 300)  # two pauses of the waiting


def test_the_email_is_one_that_the_api_takes() -> None:
    email = probe_email()
    assert email["email_sender"] == PROBE_SENDER
    assert all(isinstance(value, str) and value.strip() for value in email.values())
    assert str(email["email_timestream"]).isdigit()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((401, b'{"code": "unauthorized"}', {}), "the API did not accept the e-mail: unauthorized"),
        ((503, b"<html>", {}), "the API did not accept the e-mail: HTTP 503"),
        (LOST, "the API did not accept the e-mail: ProtocolError"),
    ],
)
def test_an_api_that_takes_no_email_is_a_failure(reply: Reply, error: str) -> None:
    outcome, server = _run(reply)
    assert (outcome.ok, outcome.error, outcome.accepted_ms, outcome.archived_ms) == (False, error, None, None)
    assert {method for method, _ in _asked(server)} == {"POST"}


@pytest.mark.parametrize("reply", [NOT_YET, (503, b'{"code": "store_unavailable"}', {})])
def test_an_email_that_is_not_archived_in_time_is_a_failure(reply: Reply) -> None:
    outcome, _ = _run(OK, reply)
    assert not outcome.ok
    assert outcome.error == "accepted, and not archived within 60 s"
    assert (outcome.accepted_ms, outcome.archived_ms) == (0, None)


def test_a_lost_connection_while_it_waits_is_no_failure_if_the_api_comes_back() -> None:
    assert _run(OK, LOST, LOST, OK)[0].ok
    outcome, _ = _run(OK, LOST)
    assert outcome.error.startswith("accepted, and not archived within 60 s: http://127.0.0.1:")
    assert outcome.error.endswith("does not answer: ProtocolError")


@pytest.mark.parametrize("status", [404, 501])
def test_an_api_without_the_status_route_is_a_failure_at_once(status: int) -> None:
    outcome, server = _run(OK, (status, b'{"code": "not_found"}', {}))
    assert outcome.error.startswith("the API has no status route")
    assert len(server.requests) == 2


def test_a_check_that_fails_is_a_failure_and_the_email_is_sent_all_the_same() -> None:
    outcome, _ = _run(OK, results=(PASSED, FAILED, OPEN))
    assert outcome.checks_failed == ["dlq: sqs:GetQueueAttributes is missing"]
    assert (outcome.ok, outcome.error) == (False, "")
    assert outcome.archived_ms is not None


def test_what_cannot_be_asked_is_no_failure() -> None:
    assert _run(OK, results=(OPEN,))[0].ok


def _raising(error: Exception) -> Callable[[str], Api]:
    def connect(_url: str) -> Api:
        raise error

    return connect


def test_without_a_token_the_run_fails_with_the_reason() -> None:
    outcome, server = _run(connect=_raising(OpsError("API_TOKEN is not set")))
    assert (outcome.ok, outcome.error) == (False, "API_TOKEN is not set")
    assert server.requests == []


def test_of_an_error_that_nobody_expects_only_the_kind_and_the_place_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcome, _ = _run(connect=_raising(ValueError("Invalid header value b'Bearer tok'")))
    assert not outcome.ok
    assert re.fullmatch(r"ValueError at \S+/test_probe\.py:\d+", outcome.error)
    outcome.log()
    (record,) = caplog.records
    assert record.exc_info is None
    assert "Bearer" not in repr(vars(record))


def test_what_aws_refused_is_said_as_other_commands_say_it() -> None:
    refusal = ClientError({"Error": {"Code": "ParameterNotFound", "Message": "hidden"}}, "GetParameter")
    outcome, _ = _run(connect=_raising(refusal))
    assert outcome.error == "AWS refused GetParameter: ParameterNotFound"


def test_the_run_ends_in_time_though_a_call_never_returns() -> None:
    stuck = threading.Event()

    def never(_request: Request) -> Reply:
        stuck.wait(60)
        return OK

    with serving() as server:
        server.answer = never
        outcome = Probe(lambda: (PASSED,), lambda: Api(server.url, "a-token"), 0.01, grace_seconds=0).run()
        stuck.set()
    assert (outcome.ok, outcome.error) == (False, "no answer within 0.01 s")


@pytest.mark.parametrize(
    ("outcome", "event", "error"),
    [
        (Outcome(message_id="id", accepted_ms=1, archived_ms=2), "probe succeeded", None),
        (Outcome(checks_failed=["dlq: gone"], archived_ms=2), "probe failed", "failed checks: 1"),
        (Outcome(checks_failed=["dlq: gone"], error="why"), "probe failed", "why"),
    ],
)
def test_a_run_is_one_log_line(
    outcome: Outcome, event: str, error: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pillarbox_ops")
    outcome.log()
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR if error else logging.INFO, event)
    fields = vars(record)
    assert fields["ok"] is (error is None)
    assert fields["checks_failed"] == outcome.checks_failed
    assert (fields["message_id"], fields["accepted_ms"]) == (outcome.message_id, outcome.accepted_ms)
    assert fields.get("error") == error
