import json
import threading
from collections.abc import Callable, Iterator

import pytest

from pillarbox.ids import parse_message_id
from pillarbox.strict_json import JsonValue
from pillarbox_ops.errors import OpsError
from pillarbox_ops.pace import Pace
from pillarbox_ops.sending import AT_ONCE, Api, Sent, Waiting, send_all

from .emails import example, id_at
from .fake_http import FakeServer, Reply, Request, serving

OK: Reply = (200, b"{}", {})
BUSY: Reply = (503, b'{"code": "overloaded"}', {"Retry-After": "2"})
LOST: Reply = (0, b"", {})


class _Pauses:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def _post(*replies: Reply) -> tuple[Sent, FakeServer, list[float]]:
    pauses = _Pauses()
    with serving() as server:
        server.replies = list(replies)
        sent = Api(server.url, "a-token", sleep=pauses).post(example())
    return sent, server, pauses.seconds


def test_an_email_is_posted_with_the_token_and_a_key_that_becomes_its_id() -> None:
    sent, server, _ = _post(OK)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/message")
    assert json.loads(request.body) == {"data": example()}
    assert request.headers["Authorization"] == "Bearer a-token"
    assert request.headers["Idempotency-Key"] == sent.message_id == parse_message_id(sent.message_id)
    assert sent.status == "accepted"


def test_an_id_that_is_given_is_the_key() -> None:
    with serving() as server:
        server.replies = [OK]
        sent = Api(server.url, "a-token").post(example(), id_at(0))
    assert server.requests[0].headers["Idempotency-Key"] == sent.message_id == id_at(0)


def test_a_busy_api_and_a_lost_connection_are_retried_with_the_same_key() -> None:
    sent, server, pauses = _post(BUSY, LOST, OK)
    assert sent.status == "accepted"
    assert {request.headers["Idempotency-Key"] for request in server.requests} == {sent.message_id}
    assert len(server.requests) == 3
    assert pauses[0] >= 2
    assert pauses[1] <= 1


def test_a_refusal_is_not_retried_and_names_the_fields() -> None:
    problem = {"code": "invalid_data", "errors": [{"pointer": "#/data/email_sender", "detail": "is required"}]}
    sent, server, _ = _post((400, json.dumps(problem).encode(), {}))
    assert (sent.status, sent.problem) == ("refused", "invalid_data: #/data/email_sender is required")
    assert len(server.requests) == 1


@pytest.mark.parametrize(("reply", "status"), [(BUSY, "refused"), (LOST, "failed")])
def test_it_gives_up_after_five_attempts(reply: Reply, status: str) -> None:
    sent, server, pauses = _post(reply)
    assert sent.status == status
    assert (len(server.requests), len(pauses)) == (5, 4)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"code": 3}', b"\xff"])
def test_an_answer_that_is_no_problem_is_its_status(body: bytes) -> None:
    assert _post((502, body, {}))[0].problem == "HTTP 502"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "", True),
        (404, "not_archived", False),
        (404, "not_found", None),
        (501, "status_unavailable", None),
        (503, "store_unavailable", False),
    ],
)
def test_the_status_route_is_asked_to_wait(status: int, code: str, expected: bool | None) -> None:
    with serving() as server:
        server.replies = [(status, json.dumps({"code": code}).encode(), {})]
        assert Api(server.url, "a-token").is_archived(id_at(0)) is expected
    (request,) = server.requests
    assert request.path == f"/api/messages/{id_at(0)}"
    assert request.headers["Prefer"] == "wait=5"


def test_an_api_that_is_gone_is_an_error() -> None:
    with pytest.raises(OpsError, match="does not answer"):
        Api("http://127.0.0.1:9", "a-token").is_archived(id_at(0))


class _Answers:
    """An API, or an archive, that gives these answers, the last one again and again."""

    def __init__(self, *answers: bool | None) -> None:
        self._answers = list(answers)

    def is_archived(self, message_id: str) -> bool | None:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.mark.parametrize(
    ("api", "archive", "expected"),
    [
        ((False, True), (False,), True),
        ((None,), (False, True), True),
        ((False,), (True,), False),
    ],
)
def test_it_waits_by_the_api_or_where_that_cannot_tell_by_the_archive(
    api: tuple[bool | None, ...], archive: tuple[bool, ...], expected: bool
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    in_archive: Callable[[str], bool] = _Answers(*archive).is_archived  # type: ignore[assignment]  # never None here
    waiting = Waiting(10, in_archive, clock=lambda: now[0], sleep=sleep)
    assert waiting.until_archived(_Answers(*api), id_at(0)) is expected  # type: ignore[arg-type]  # as an Api
    assert now[0] <= 10


def test_the_waiting_ends_when_nobody_waits_any_more() -> None:
    waiting = Waiting(10**6, lambda _id: False, sleep=lambda _seconds: None)
    with serving() as server:
        server.replies = [OK, (501, b"{}", {})]
        results = send_all(Api(server.url, "a-token"), _endless(waiting.ended), Pace(None), waiting)
        assert [sent.status for sent in results] == ["not_archived"]


def _endless(ended: threading.Event) -> Iterator[dict[str, JsonValue]]:
    yield example()
    ended.set()  # as when the caller is interrupted while an e-mail is waited for


def test_emails_are_sent_at_once_up_to_a_bound_and_told_in_their_order() -> None:
    together = threading.Barrier(AT_ONCE)

    def answer(request: Request) -> Reply:
        number = int(json.loads(request.body)["data"]["email_subject"])
        return (400, json.dumps({"code": f"n{number}"}).encode(), {})

    with serving() as server:
        server.answer = answer
        api = Api(server.url, "a-token")
        post = api.post

        def meeting(email: dict[str, JsonValue], message_id: str | None = None) -> Sent:
            together.wait(60)
            return post(email, message_id)

        api.post = meeting  # type: ignore[method-assign]
        emails = (example(email_subject=str(number)) for number in range(3 * AT_ONCE))
        assert [sent.problem for sent in send_all(api, emails, Pace(None))] == [f"n{n}" for n in range(3 * AT_ONCE)]


def test_it_measures_until_the_archive_has_it() -> None:
    with serving() as server:
        server.replies = [OK]
        (sent,) = send_all(Api(server.url, "a-token"), [example()], Pace(None), Waiting(10, lambda _id: True))
    assert sent.status == "archived"
    assert sent.archived_milliseconds is not None
    assert sent.archived_milliseconds >= sent.milliseconds


def test_what_is_not_archived_in_time_says_so() -> None:
    with serving() as server:
        server.replies = [OK, (501, b"{}", {})]
        (sent,) = send_all(Api(server.url, "a-token"), [example()], Pace(None), Waiting(0, lambda _id: False))
    assert (sent.status, sent.problem) == ("not_archived", "not within 0 s")


def test_a_token_that_no_header_can_carry_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(OpsError, match=r"^the token has characters that a token cannot have$"):
        Api("http://127.0.0.1:9", "tok\n")
